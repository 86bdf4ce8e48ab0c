/* What every page does: its theme, tables that sort, tips, and tables of many measures. */
"use strict";
(() => {
  const { root, el, find, all, clamp, remember } = Atelier;

  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const themeButton = (button) => {
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
    };
    const saved = remember("atelier-theme");
    if (saved === "light" || saved === "dark") root.dataset.theme = saved;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember("atelier-theme", root.dataset.theme);
      label();
    });
    label();
    button.hidden = false;
  };

  // ---------------------------------------------------------------- tables that sort

  const sortValue = (row, i) => {
    const cell = row.cells[i];
    return "sort" in cell.dataset ? cell.dataset.sort : cell.textContent.trim();
  };
  /* Empty cells come last; what cannot be compared stays below what can, in either direction. */
  const compareRows = (i, text, up) => (a, b) => {
    const [x, y] = [sortValue(a, i), sortValue(b, i)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const off = a.cells[i].classList.contains("off") - b.cells[i].classList.contains("off");
    return off || (text ? x.localeCompare(y) : Number(x) - Number(y)) * (up ? 1 : -1);
  };
  const sortTable = (table, i, up) => {
    const heads = all("thead th", table), body = find("tbody", table);
    body.append(...[...body.rows].sort(compareRows(i, heads[i].dataset.kind === "text", up)));
    heads.forEach((head, j) => {
      head.setAttribute("aria-sort", j !== i ? "none" : up ? "ascending" : "descending");
      find(".arrow", head).textContent = j !== i ? "" : up ? "▴" : "▾";
    });
  };
  const makeSortable = (table) => all("thead th", table).forEach((head, i) => {
    const button = el("button", { type: "button", class: "sort" }, ...head.childNodes, el("span", { class: "arrow", "aria-hidden": "true" }));
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const sorted = head.getAttribute("aria-sort");
      sortTable(table, i, sorted === "none" ? head.dataset.better !== "higher" : sorted === "descending");
    });
  });

  // ---------------------------------------------------------------- tips

  const placeTip = (pop, tip) => {
    const box = tip.getBoundingClientRect(), size = pop.getBoundingClientRect();
    const above = box.bottom + size.height + 12 > innerHeight;
    pop.style.left = `${scrollX + clamp(box.right - size.width, 8, Math.max(8, root.clientWidth - size.width - 8))}px`;
    pop.style.top = `${scrollY + (above ? box.top - size.height - 8 : box.bottom + 8)}px`;
  };
  const tips = () => {
    const pop = el("div", { id: "pop", hidden: true });
    document.body.append(pop);
    const hide = () => { pop.hidden = true; };
    const show = (tip) => {
      pop.replaceChildren(...[...find(".pop", tip).childNodes].map((node) => node.cloneNode(true)));
      pop.hidden = false;
      placeTip(pop, tip);
    };
    for (const tip of all(".tip")) {
      for (const event of ["mouseenter", "focus", "click"]) tip.addEventListener(event, () => show(tip));
      for (const event of ["mouseleave", "blur"]) tip.addEventListener(event, hide);
      tip.addEventListener("keydown", (e) => { if (e.key === "Escape") hide(); });
    }
    addEventListener("scroll", hide, { passive: true });
  };

  // ---------------------------------------------------------------- measures

  /* A table of many measures opens with the main ones; without this script it shows them all. */
  const measures = () => {
    const press = () => {
      show(root.dataset.measures !== "all");
      remember("atelier-measures", root.dataset.measures);
    };
    const buttons = all("table.board").filter((table) => find("th.more", table)).map((table) => {
      const button = el("button", { type: "button", onclick: press }, `All ${all("th[data-better]", table).length} measures`);
      table.closest(".scroll").before(el("div", { class: "tools" }, button));
      return button;
    });
    const show = (every) => {
      root.dataset.measures = every ? "all" : "main";
      for (const button of buttons) button.setAttribute("aria-pressed", String(every));
    };
    show(remember("atelier-measures") === "all");
  };

  themeButton(find("#theme"));
  all("table[data-sortable]").forEach(makeSortable);
  measures();
  tips();
})();
