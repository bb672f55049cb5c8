// What the files of the wall share: elements, buttons, and pressing a button of the page.
const wallTools = {
  make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  },
  button(name, text, press) {
    const node = wallTools.make("button", name, text);
    node.type = "button";
    if (press) node.addEventListener("click", press);
    return node;
  },
  press(selector) {
    const found = document.querySelector(selector);
    (found?.matches("button") ? found : found?.querySelector("button"))?.click();
  },
};
