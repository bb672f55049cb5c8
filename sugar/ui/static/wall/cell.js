// One picture of the wall: a thumbnail that is pressed when it is selected; its name under the pointer or the focus.
const wallCell = (wall, bar, id, cell) => {
  const { make, button } = wallTools;
  const node = button("sugar-wall-cell");
  node.dataset.pick = id;
  node.tabIndex = id === wall.current() ? 0 : -1;
  node.setAttribute("aria-label", `${wall.words.open} ${cell?.name ?? ""}`);
  if (bar.selecting) node.setAttribute("aria-pressed", String(bar.selected.has(id)));
  if (cell) {
    const image = make("img");
    Object.assign(image, { src: cell.thumb, alt: cell.caption || cell.name, draggable: false });
    node.append(image);
  }
  if (cell?.favourite) node.append(make("span", "sugar-wall-star", "★"));
  const told = make("span", "sugar-wall-told");
  told.append(make("span", "name", cell?.caption ? `${cell.name} · ${cell.caption}` : (cell?.name ?? "")));
  node.append(told);
  if (cell?.line) node.append(make("span", "line", cell.line));
  if (cell?.score) node.append(make("span", "line sugar-score", cell.score));
  return node;
};
