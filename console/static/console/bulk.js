// The menu of the znode's page: follows the page to other znodes, closes by Escape and by a click elsewhere.

for (const menu of document.querySelectorAll("details.more")) {
  const root = menu.dataset.root;

  const follow = () => {
    if (!location.pathname.startsWith(root)) return;
    const path = `/${decodeURIComponent(location.pathname.slice(root.length))}`;
    for (const link of menu.querySelectorAll("[data-at]")) {
      link.href = `${link.dataset.at}?path=${encodeURIComponent(path)}`;
    }
  };

  menu.addEventListener("toggle", follow);
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopPropagation();
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
}
