"use strict";
(() => {
  const words = new Intl.Collator(undefined, { numeric: true });

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // Names are what they show. What is not known has no value and comes last in both directions.
  function valueOf(cell) {
    const name = cell.querySelector(".name");
    return name ? name.textContent : cell.getAttribute("data-v");
  }

  function compare(a, b, isNumber, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (isNumber ? Number(a) - Number(b) : words.compare(a, b));
  }

  function sortBy(table, header, place) {
    const isNumber = header.classList.contains("n");
    const before = header.getAttribute("aria-sort");
    const isDescending = before ? before === "ascending" : isNumber;
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [valueOf(row.cells[place]), row]);
    rows.sort((a, b) => compare(a[0], b[0], isNumber, isDescending ? -1 : 1));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    body.append(...rows.map((entry) => entry[1]));
  }

  function makeSortable(table) {
    Array.from(table.tHead.rows[0].cells).forEach((header, place) => {
      const title = header.querySelector(".h");
      const button = make("button", { type: "button", className: "h" }, title.textContent);
      button.addEventListener("click", () => sortBy(table, header, place));
      title.replaceWith(button);
    });
  }

  function makeFilter(table, tools) {
    const rows = Array.from(table.tBodies[0].rows);
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const told = make("output", {});
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !texts.get(row).includes(wanted);
        if (!row.hidden) shown += 1;
      }
      told.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
    });
    tools.append(make("label", {}, "Filter ", input), told);
  }

  for (const tools of document.querySelectorAll(".tools")) {
    const table = document.getElementById(tools.dataset.for);
    if (table.hasAttribute("data-sort")) makeSortable(table);
    if (table.hasAttribute("data-filter")) makeFilter(table, tools);
  }

  // What is folded is on paper too.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    for (const entry of opened) entry.open = true;
  });
  addEventListener("afterprint", () => {
    for (const entry of opened) entry.open = false;
  });
})();
