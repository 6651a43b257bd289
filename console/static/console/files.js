// A file as the editor can take it: as text where it is text, else as base64.

const FILE_MAX = 1 << 20;
const AT_ONCE = 0x8000;

export async function fileText(file) {
  if (file.size > FILE_MAX) {
    throw new Error(`${file.name} has ${file.size.toLocaleString("en")} bytes; a znode takes about ${FILE_MAX.toLocaleString("en")}.`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ufeff]/.test(text)) return { text, format: "text" };
  } catch { /* bytes, then */ }
  let binary = "";
  for (let from = 0; from < bytes.length; from += AT_ONCE) binary += String.fromCharCode(...bytes.subarray(from, from + AT_ONCE));
  return { text: btoa(binary).replace(/.{76}/g, "$&\n").trimEnd(), format: "base64" };
}
