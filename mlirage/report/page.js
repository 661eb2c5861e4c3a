// Sorts and searches the table, stretches the timeline, and marks a dispatch everywhere when it is pointed at.
const table = document.getElementById("dispatches");
if (table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  const sort = (head, column) => {
    const down = !head.classList.contains("down");
    heads.forEach((other) => other.classList.remove("up", "down"));
    head.classList.add(down ? "down" : "up");
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      const order = typeof x === "number" ? x - y : x.localeCompare(y);
      return down ? -order : order;
    });
    body.append(...rows);
  };
  heads.forEach((head, column) => {
    head.addEventListener("click", () => sort(head, column));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(head, column); });
  });
  const search = document.getElementById("search");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
const stretch = document.getElementById("stretch");
if (stretch) {
  stretch.addEventListener("input", () => {
    document.getElementById("timeline").style.width = `${100 * stretch.value}%`;
  });
}
const marked = [...document.querySelectorAll("[data-name]")];
const mark = (name) => marked.forEach((item) => item.classList.toggle("chosen", item.dataset.name === name));
for (const item of marked) {
  item.addEventListener("mouseenter", () => mark(item.dataset.name));
  item.addEventListener("mouseleave", () => mark(undefined));
}
