// The members' page: a removal is confirmed first. Without this script it happens at once.

const form = document.getElementById("remove");
const dialog = document.getElementById("remove-dialog");

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = event.submitter.value;
  dialog.querySelector(".target").textContent = `node${id}`;
  dialog.returnValue = "";
  dialog.showModal();
  // The button may be another one by then: the list is made anew while the dialog is open.
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "remove") return;
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "id", value: id }));
    form.submit();
  }, { once: true });
});
