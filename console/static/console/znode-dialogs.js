// New children, and the end of a znode: two small dialogs, checked by the server.

import { postForm } from "./http.js";
import { plain } from "./words.js";

const byId = (id) => document.getElementById(id);

function dialog(id, prepare, send) {
  const box = byId(id);
  if (!box) return () => {};
  const problem = box.querySelector(".problem");
  box.querySelector("[value=cancel]").addEventListener("click", () => box.close());
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    const go = box.querySelector("[type=submit]");
    go.disabled = true;
    try {
      await send();
      box.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    go.disabled = false;
  });
  return () => {
    const path = prepare();
    if (path === null) return;
    problem.hidden = true;
    for (const target of box.querySelectorAll(".target")) target.textContent = plain(path);
    box.showModal();
  };
}

const kind = () => document.querySelector("[name=mode]:checked").value;

// `at()`: {path, znode} that the page shows, znode null where there is none.
export function creating(urls, at, made) {
  const name = byId("new-name");
  if (!name) return () => {};
  const sequential = byId("new-sequential");
  const follow = () => {
    const { path } = at();
    byId("ttl-field").hidden = kind() !== "ttl";
    sequential.disabled = kind() === "container";
    if (sequential.disabled) sequential.checked = false;
    byId("new-path").textContent = name.value || sequential.checked
      ? plain(`${path === "/" ? "" : path}/${name.value}${sequential.checked ? "0000000007, for instance" : ""}`) : "";
  };
  for (const each of [name, sequential, ...document.querySelectorAll("[name=mode]")]) each.addEventListener("input", follow);
  return dialog("create-dialog", () => {
    const { path, znode } = at();
    if (!znode) return null;
    name.value = "";
    byId("new-text").value = "";
    follow();
    return path;
  }, async () => {
    const mode = kind();
    const numbered = { persistent: "sequential", ephemeral: "ephemeral_sequential", ttl: "ttl_sequential" };
    const answer = await postForm(urls.create, {
      parent: at().path,
      name: name.value,
      mode: sequential.checked ? numbered[mode] : mode,
      ttl_ms: byId("new-ttl").value,
      text: byId("new-text").value,
      acl: byId("new-acl").value,
      parents: byId("new-parents").checked ? "1" : "",
    });
    await made(answer.path);
  });
}

export function deleting(urls, at, gone) {
  return dialog("delete-dialog", () => {
    const { path, znode } = at();
    if (!znode || path === "/") return null;
    const box = byId("delete-dialog");
    byId("confirm").value = "";
    box.querySelector(".name").textContent = path.slice(path.lastIndexOf("/") + 1);
    const count = znode.children;
    box.querySelector(".what").textContent = count
      ? `It has ${count.toLocaleString("en")} ${count === 1 ? "child" : "children"}: ZooKeeper refuses to delete it before they are gone.`
      : `Its ${znode.bytes.toLocaleString("en")} bytes go, version ${znode.version}. If somebody changes it meanwhile, nothing is deleted.`;
    return path;
  }, async () => {
    const { path, znode } = at();
    await postForm(urls.delete, { path, version: znode.version, czxid: znode.czxid, confirm: byId("confirm").value });
    await gone(path);
  });
}
