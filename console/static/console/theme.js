// Before anything is painted: the theme that was chosen last, else the system's.
(() => {
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* storage is off: follow the system */ }
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
})();
