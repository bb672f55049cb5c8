// The tab that was open stays over a reload. An address that names a search or a picture comes first.
const sugarTabs = {
  last: () => ({ __type__: "update", ...(location.search || !sessionStorage.sugarTab ? {} : { selected: sessionStorage.sugarTab }) }),
};
document.addEventListener("click", (event) => {
  const tab = event.target.closest?.("[data-tab-id]")?.dataset.tabId;
  if (tab) sessionStorage.sugarTab = tab;
});
