// The form that asks for the server's access token: shown when a request was refused for the lack of one.

import { onLocked, unlock } from "./api.js";
import { at } from "./dom.js";

// `then` asks the server again; `told` may say that the form is there.
export function askForToken(then, told = () => {}) {
  at("unlock").addEventListener("submit", (event) => {
    event.preventDefault();
    unlock(at("token").value);
    at("token").value = "";
    at("unlock").hidden = true;
    then();
  });
  onLocked(() => {
    at("unlock").hidden = false;
    told();
  });
}
