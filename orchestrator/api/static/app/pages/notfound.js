import { html } from "../core/html.js";
import { Empty } from "../parts/empty.js";

export const Page = () => html`<main id="main"><h1 class="sr">Not found</h1><section class="card"><${Empty} icon="i-search"
  title="There is no such page" acts=${html`<a class="btn" href="/">All jobs</a>`}>No page has this address.<//></section></main>`;
