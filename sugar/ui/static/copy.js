// Gradio's copy button copies a text as it travelled, with entities for what would be markup: copy what is read.
(() => {
  if (!navigator.clipboard) return;
  const write = navigator.clipboard.writeText.bind(navigator.clipboard);
  const plain = (words) => new DOMParser().parseFromString(words.replace(/</g, "&lt;"), "text/html").body.textContent;
  let own = false;
  document.addEventListener("click", (event) => {
    own = !!event.target.closest("#talk button");
  }, true);
  navigator.clipboard.writeText = (words) => write(own ? plain(words) : words);
})();
