"use strict";
// The page reads without any of this: tables in their order, every value in its chart's title and list.
(() => {
  const root = document.documentElement;
  const tip = document.querySelector(".tip");

  // Theme: the system's until the reader chooses. Storage may be refused on file://, and then it is not remembered.
  const stored = (value) => {
    try {
      if (value) localStorage.setItem("inferhost-theme", value);
      return localStorage.getItem("inferhost-theme");
    } catch {
      return null;
    }
  };
  const toggle = document.querySelector(".theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const label = () => toggle.setAttribute("aria-pressed", String(isDark()));
  const earlier = stored();
  if (earlier === "dark" || earlier === "light") root.dataset.theme = earlier;
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  label();

  // Sorting: by data-value where a cell has one, as numbers where both are; what has no value comes last either way.
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.textContent.trim();
  };
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sort = (header) => {
    const table = header.closest("table");
    const body = table.tBodies[0];
    const way = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const keyed = [...body.rows].map((row) => [value(row, header.cellIndex), row]);
    keyed.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return way === "ascending" ? compare(a, b) : compare(b, a);
    });
    body.append(...keyed.map(([, row]) => row));
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", way);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (button) sort(button.closest("th"));
  });

  // Links into something folded unfold it.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") node.open = true;
    }
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  // A link to where one already is changes no hash.
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest('a[href^="#"]')) setTimeout(unfold);
  });
  if (location.hash) unfold();

  // Charts: one stop of the Tab key each; the arrow keys go from value to value, pointer and finger pick the nearest.
  const texts = new WeakMap();
  const text = (mark) => {
    const title = mark.querySelector(":scope > title");
    if (title) {
      // The browser's own tooltip would say the same a second time.
      texts.set(mark, title.textContent);
      title.remove();
    }
    return texts.get(mark) || "";
  };
  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("on");
    shown = null;
    tip.textContent = "";
  };
  const show = (mark) => {
    if (mark === shown) return;
    hide();
    if (!mark) return;
    shown = mark;
    mark.classList.add("on");
    tip.textContent = text(mark);
    place(mark);
  };
  const place = (mark) => {
    const [at, box] = [mark.getBoundingClientRect(), tip.getBoundingClientRect()];
    const left = Math.min(Math.max(8, at.x + at.width / 2 - box.width / 2), innerWidth - box.width - 8);
    const above = at.y - box.height - 8;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above < 8 ? at.bottom + 8 : above}px`;
  };
  const nearest = (marks, x, y) => {
    let [best, least] = [null, 24];
    for (const mark of marks) {
      const box = mark.getBoundingClientRect();
      const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
      if (away < least) [best, least] = [mark, away];
    }
    return best;
  };
  for (const plot of document.querySelectorAll(".plot")) {
    const marks = [...plot.querySelectorAll(".v")];
    const point = (event) => show(event.target.closest(".v") || nearest(marks, event.clientX, event.clientY));
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const at = marks.indexOf(shown);
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1 };
      if (event.key === "Escape") hide();
      if (!(event.key in to) || event.ctrlKey || event.metaKey || event.altKey || marks.length === 0) return;
      event.preventDefault();
      const mark = marks[Math.min(Math.max(to[event.key], 0), marks.length - 1)];
      mark.scrollIntoView({ block: "nearest", inline: "nearest" });
      show(mark);
    });
  }
  addEventListener("scroll", () => shown && place(shown), { passive: true, capture: true });
})();
