// The console works without this file. It adds what a page cannot do by itself:
// it keeps what is shown up to date, counts times, and listens to keys.

const $ = (selector, root = document) => root.querySelector(selector)
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)]

// Times are the server's: the clock of this machine may be wrong.
let ahead = 0
const setClock = root => { ahead = Date.parse(root.dataset.now) - Date.now() }
const now = () => root.dataset.still ? Date.parse(root.dataset.now) : Date.now() + ahead
const root = document.documentElement
setClock(root)

// words says a duration in milliseconds as the server does.
function words(ms) {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 60) return s + ' s'
  if (s < 3600) return Math.floor(s / 60) + ' min'
  if (s < 48 * 3600) return Math.floor(s / 3600) + ' h'
  return Math.floor(s / 86400) + ' d'
}

function tick() {
  const t = now()
  const set = (e, text) => { if (e.textContent !== text) e.textContent = text }
  for (const e of $$('time[data-ago]')) set(e, words(t - Date.parse(e.dateTime)) + ' ago')
  for (const e of $$('time[data-in]')) {
    const left = Date.parse(e.dateTime) - t
    set(e, left > 0 ? 'in ' + words(left) : words(-left) + ' ago')
  }
  for (const e of $$('time[data-left]')) set(e, words(Date.parse(e.dateTime) - t + 999))
  for (const e of $$('time[data-for]')) set(e, words(t - Date.parse(e.dateTime)))
  for (const e of $$('progress[data-until]')) e.value = Math.max(0, Date.parse(e.dataset.until) - t)
}
setInterval(tick, 1000)

// Regions with data-live are taken over from the page as it is now.
const shown = new Map($$('[data-live]').map(e => [e.dataset.live, e.outerHTML]))
let failed = 0

function selecting(e) {
  const s = getSelection()
  return s && !s.isCollapsed && s.containsNode(e, true)
}

function replace(page) {
  for (const fresh of $$('[data-live]', page)) {
    const name = fresh.dataset.live
    const old = $(`[data-live="${name}"]`)
    const html = fresh.outerHTML
    if (!old || shown.get(name) === html || selecting(old) || old.matches(':has(form[aria-busy], input:focus, select:focus)')) continue
    // What is open stays open, what is scrolled stays scrolled, and who is on a link or
    // button stays there.
    for (const d of $$('details[open][id]', old)) $('#' + CSS.escape(d.id), fresh)?.setAttribute('open', '')
    const at = old.contains(document.activeElement) ? document.activeElement : null
    const same = at && $$('a, button, summary, [tabindex]', old).indexOf(at)
    shown.set(name, html)
    const scrolled = $$('.scroll, pre', old).map(e => [e.scrollLeft, e.scrollTop])
    old.replaceWith(document.adoptNode(fresh))
    $$('.scroll, pre', fresh).forEach((e, i) => { if (scrolled[i]) [e.scrollLeft, e.scrollTop] = scrolled[i] })
    if (at) $$('a, button, summary, [tabindex]', fresh)[same]?.focus({ preventScroll: true })
  }
}

async function refresh(url) {
  try {
    const answer = await fetch(url, { headers: { Accept: 'text/html' } })
    if (answer.redirected || answer.status === 401) return location.reload()
    if (!answer.ok) throw new Error(answer.statusText)
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    setClock(page.documentElement)
    replace(page)
    tick()
    failed = 0
  } catch {
    failed++
  }
  const line = $('#offline')
  if (line) line.hidden = failed < 2
}

async function follow() {
  const main = $('main')
  const every = Number(main.dataset.every) * 1000
  if (!every) return
  const url = main.dataset.self || location.href
  for (;;) {
    await new Promise(done => setTimeout(done, every * Math.min(2 ** failed, 16)))
    if (document.hidden) await new Promise(done => document.addEventListener('visibilitychange', done, { once: true }))
    await refresh(url)
  }
}
follow()

// What takes its time says so, and is not asked for twice.
addEventListener('submit', e => {
  const form = e.target
  if (form.hasAttribute('aria-busy')) return e.preventDefault()
  const button = e.submitter
  if (!form.dataset.busy || !button) return
  form.setAttribute('aria-busy', 'true')
  button.setAttribute('aria-busy', 'true')
  const began = Date.now()
  const text = () => { button.textContent = `${form.dataset.busy} ${words(Date.now() - began)}` }
  text()
  setInterval(text, 1000)
})
// Who comes back by the Back key finds the form as it was.
addEventListener('pageshow', e => { if (e.persisted) location.reload() })

// Keys: they can be turned off, for those who speak or whose screen reader has them.
const help = $('#help')
const keysOn = $('#keys')
const store = 'reveille-keys'
if (keysOn) {
  keysOn.checked = localStorage.getItem(store) !== 'off'
  keysOn.addEventListener('change', () => localStorage.setItem(store, keysOn.checked ? 'on' : 'off'))
}
$('#help-button')?.addEventListener('click', () => help.showModal())
let going = 0
addEventListener('keydown', e => {
  if (!keysOn?.checked || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return
  if (e.target.closest('input:not([type="checkbox"]), select, textarea, [contenteditable]')) {
    if (e.key === 'Escape') e.target.blur()
    return
  }
  if (help?.open) return
  if (going && Date.now() - going < 1500) {
    going = 0
    const link = $(`#menu a[data-key="${CSS.escape(e.key)}"]`)
    if (link) { e.preventDefault(); link.click() }
    return
  }
  switch (e.key) {
    case '/': e.preventDefault(); $('#q').focus(); $('#q').select(); break
    case '?': e.preventDefault(); help.showModal(); break
    case 'g': going = Date.now(); break
  }
})
