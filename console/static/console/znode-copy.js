// A znode as a line of somebody's program: what the menu "Copy as" puts on the clipboard.

const python = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const zkcli = (text) => (/^[\w./@:-]+$/.test(text) ? text : `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`);

export const COPIES = [
  ["Path", (at) => at.path],
  ["Link to this page", (at) => at.link],
  ["kazoo (Python)", (at) => `data, stat = zk.get(${python(at.path)})`],
  ["Java", (at) => `byte[] data = zk.getData(${python(at.path)}, false, stat);`],
  ["Curator (Java)", (at) => `byte[] data = curator.getData().forPath(${python(at.path)});`],
  ["zkCli", (at) => `get -s ${zkcli(at.path)}`],
  ["curl, the console's API", (at) => `curl -G -H "Authorization: Bearer $ENSEMBLE_TOKEN" --data-urlencode ${shell(`path=${at.path}`)} ${shell(at.api)}`],
];
