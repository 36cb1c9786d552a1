// Passkeys: allauth's scripts do the ceremony and are silent when it fails; this says so.
"use strict";
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const region = document.querySelector("#toasts");
  const toast = document.querySelector("#toast-template").content.firstElementChild.cloneNode(true);
  toast.dataset.kind = "error";
  toast.querySelector("p").textContent = "No passkey was used: it was cancelled, or this browser has none for Dailies. Nothing was changed.";
  toast.querySelector("[data-dismiss]").hidden = false;
  region.replaceChildren(toast);
});
