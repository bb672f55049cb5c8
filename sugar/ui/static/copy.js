// A text travels with entities for what would be markup, and with WORD JOINERs inside it: copy what is read.
(() => {
  if (!navigator.clipboard) return;
  const write = navigator.clipboard.writeText.bind(navigator.clipboard);
  const whole = (words) => words.replaceAll("\u2060", "");
  const plain = (words) => new DOMParser().parseFromString(words.replace(/</g, "&lt;"), "text/html").body.textContent;
  let own = false;
  document.addEventListener("click", (event) => {
    own = !!event.target.closest("#talk button");
  }, true);
  navigator.clipboard.writeText = (words) => write(whole(own ? plain(words) : words));
  document.addEventListener("copy", (event) => {
    const words = String(getSelection());
    if (!words.includes("\u2060")) return;
    event.clipboardData.setData("text/plain", whole(words));
    event.preventDefault();
  });
})();
