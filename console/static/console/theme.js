// Before anything is painted: theme and width of the rail as they were chosen last, else the system's.
(() => {
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const root = document.documentElement;
  const theme = kept("theme");
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  const rail = kept("rail");
  if (rail === "narrow" || rail === "wide") root.dataset.rail = rail;
})();
