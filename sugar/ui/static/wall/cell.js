// One cell of the wall: a thumbnail with its name and a line, pressed when it is selected.
const wallCell = (wall, bar, id, cell, size) => {
  const { make, button } = wallTools;
  const node = button("sugar-cell sugar-wall-cell");
  node.dataset.pick = id;
  node.setAttribute("aria-label", `${wall.words.open} ${cell?.name ?? ""}`);
  if (bar.selecting) node.setAttribute("aria-pressed", String(bar.selected.has(id)));
  const picture = make("div", "sugar-wall-picture");
  picture.style.height = `${size - 12}px`;
  if (cell) {
    const image = make("img");
    Object.assign(image, { src: cell.thumb, alt: cell.caption || cell.name, draggable: false });
    picture.append(image);
  }
  if (cell?.favourite) picture.append(make("span", "sugar-wall-star", "★"));
  node.append(picture, make("span", "name", cell?.name ?? ""), make("span", "line", cell?.line ?? ""));
  if (cell?.score) node.append(make("span", "line sugar-score", cell.score));
  return node;
};
