// A user who is logged in visits pages of an attacker: one of another site, and one of the same site that nobody listed.
//
// What reached the service is looked up in front of it, so that an attack which the browser never sent is noticed. The
// two attackers differ: a browser sends the cookie along for a page of the same site, whatever SameSite says.

import { COOKIE, DONE, PASSWORD, reload, sessions, Stage, submit } from './browser.mjs'
import { count, readWorld, same } from './flow.mjs'

const world = readWorld()
const stage = await Stage.start(world, { watched: true })
const MALLORY = { username: 'mallory', password: PASSWORD }
// What is attacked in every way, and what in the usual ones.
const WORST = ['/logout/', '/refresh/', '/login/']
const TARGETS = [...WORST, '/logout/?all=true', '/register/', '/password/change/']

// --- Who is attacked ---

/** Somebody who is logged in, and whose session nobody has touched. */
class Victim {
  static async arrive(name) {
    const victim = new Victim()
    victim.visitor = await stage.visitor()
    victim.page = await victim.visitor.tab()
    same(await submit(victim.page, 'register', { username: name, email: `${name}@example.org`, password: PASSWORD }), DONE)
    return victim
  }

  /** Does what the page does when it is loaded; gives the access token. */
  async refresh(about) {
    const { status, body } = await this.page.evaluate(async (api) => {
      const options = { method: 'POST', credentials: 'include', headers: { 'X-Requested-With': 'fetch' } }
      const answer = await fetch(`${api}/refresh/`, options)
      return { status: answer.status, body: await answer.json() }
    }, world.api)
    same(status, 200, about)
    this.value = (await this.visitor.cookie()).value
    this.token = body.access_token
  }

  /** The same refresh token, and it still works; the same access token, and it does, too. */
  async expectUntouched(about) {
    same((await this.visitor.cookie())?.value, this.value, about)
    same(await stage.isActive(this.token), true, about)
    await this.refresh(about)
  }

  /** All that the user sees: one session, the same as ever. */
  async expectSameSession(about) {
    same([await reload(this.page), await sessions(this.page, 1)], ['signed-in', 1], about)
    const own = await this.page.$eval('#sessions li', (item) => item.dataset.id)
    same(own, (this.session ??= own), about)
    await this.refresh(about)
  }
}

/** Somebody who is not logged in, and is not to be under any name. */
class Guest {
  static async arrive() {
    const guest = new Guest()
    guest.visitor = await stage.visitor()
    guest.page = await guest.visitor.tab()
    return guest
  }

  async expectUntouched(about) {
    same([await this.visitor.cookie(), await reload(this.page)], [undefined, 'signed-out'], about)
  }
}

/**
 * Runs an attack on a page of `origin` in the victim's browser, waits until all of it has arrived, and sees that nothing
 * else has. `wanted` lists what arrives, as `POST /logout/ 415`; whether the cookie comes with it is known beforehand.
 */
async function attack(victim, about, origin, wanted, run, ...given) {
  const page = (victim.attacker ??= await victim.visitor.blank())
  await page.goto(origin)
  const before = stage.arrived.length
  // A page that leaves for another one does not give an answer any more.
  const result = await page.evaluate(run, world.api, ...given).catch((error) => {
    if (!/context was destroyed|navigat|detached/i.test(error.message)) throw error
  })
  const deadline = Date.now() + 10_000
  while (stage.arrived.length - before < wanted.length && Date.now() < deadline) await pause(10)
  // What comes too late to be counted here is counted, and wrong, in the next one.
  await pause(20)
  const bare = (line) => line.startsWith('OPTIONS') || !victim.value || isCrossSite(origin, about)
  const expected = wanted.map((line) => `${line} ${bare(line) ? 'without' : 'with'} cookie`).sort()
  same(stage.arrived.slice(before).sort(), expected, `${about} from ${origin}`)
  for (const opened of await victim.visitor.context.pages()) {
    if (opened !== page && opened !== victim.page) await opened.close()
  }
  await victim.expectUntouched(`after ${about} from ${origin}`)
  return result
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
// A sandboxed frame has an origin of nobody's site.
const isCrossSite = (origin, about) => origin === world.stranger || about.includes('sandbox')

// --- The attacks ---

/** A form, as it is sent: to a frame of the page, or by leaving the page. */
function form(api, path, enctype, fields, inFrame) {
  const form = document.createElement('form')
  Object.assign(form, { method: 'post', action: api + path, enctype })
  if (inFrame) {
    const frame = document.createElement('iframe')
    frame.name = form.target = 'frame'
    document.body.append(frame)
  }
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement('input')
    Object.assign(input, { name, value, type: 'hidden' })
    form.append(input)
  }
  document.body.append(form)
  form.submit()
}

/** A request of a script; gives what the script can see of the answer. */
async function request(api, path, options) {
  try {
    const answer = await fetch(api + path, { credentials: 'include', ...options })
    return { type: answer.type, status: answer.status, text: await answer.text(), headers: [...answer.headers].length }
  } catch (error) {
    return error.name
  }
}

/** A text that is JSON when a form sends it as `text/plain`: the sign between name and value is inside of a string. */
const asText = (members) => ({ [`${JSON.stringify(members).slice(0, -1)},"ignored":"`]: '"}' })

async function forms(victim, origin) {
  for (const path of TARGETS) {
    const usual = ['application/x-www-form-urlencoded', 'text/plain']
    for (const enctype of WORST.includes(path) ? [...usual, 'multipart/form-data'] : usual) {
      const fields = enctype === 'text/plain' ? asText({ ...MALLORY, all: true }) : { ...MALLORY, all: 'true' }
      const wanted = [`POST ${path} 415`]
      await attack(victim, `a form as ${enctype} to ${path}`, origin, wanted, form, path, enctype, fields, true)
    }
  }
  // A page that leaves: cookies of such an answer count, whosever site it is.
  for (const path of WORST) {
    await attack(victim, `a form to ${path} that leaves`, origin, [`POST ${path} 415`], form, path, 'text/plain', asText(MALLORY), false)
  }
}

async function scripts(victim, origin) {
  const body = JSON.stringify(MALLORY)
  const stranger = isCrossSite(origin, '')
  for (const path of TARGETS) {
    // Without a body there is no type that could be refused: here only the header keeps the cookie from being taken.
    const status = stranger
      ? { '/logout/': 204, '/refresh/': 401, '/logout/?all=true': 401, '/password/change/': 401 }[path] ?? 400
      : { '/password/change/': 401, '/login/': 400, '/register/': 400 }[path] ?? 403
    for (const [mode, seen] of [['cors', 'TypeError'], ['no-cors', { type: 'opaque', status: 0, text: '', headers: 0 }]]) {
      const bare = await attack(victim, `a bare ${mode} fetch of ${path}`, origin, [`POST ${path} ${status}`], request, path, { method: 'POST', mode })
      same(bare, seen)
      const text = { method: 'POST', mode, body, headers: { 'Content-Type': 'text/plain' } }
      same(await attack(victim, `a ${mode} fetch of ${path} as text`, origin, [`POST ${path} 415`], request, path, text), seen)
    }
    if (!WORST.includes(path)) continue
    // The browser asks first, and is told nothing that lets it go on.
    for (const headers of [
      { 'X-Requested-With': 'fetch' },
      { 'Content-Type': 'application/json', 'X-Requested-With': 'fetch' },
      { 'Content-Type': 'application/json' },
      { Authorization: 'Bearer x' },
    ]) {
      const about = `a fetch of ${path} with ${Object.keys(headers)}`
      const seen = await attack(victim, about, origin, [`OPTIONS ${path} 204`], request, path, { method: 'POST', body, headers })
      same(seen, 'TypeError')
    }
    // Without asking, a browser leaves such headers away.
    const silent = { method: 'POST', mode: 'no-cors', headers: { 'X-Requested-With': 'fetch', Authorization: 'Bearer x' } }
    await attack(victim, `a no-cors fetch of ${path} with headers`, origin, [`POST ${path} ${status}`], request, path, silent)
  }
  await attack(victim, 'a beacon', origin, ['POST /logout/ 415'], (api) => navigator.sendBeacon(`${api}/logout/`, '{}'))
  const typed = (api) => navigator.sendBeacon(`${api}/logout/`, new Blob(['{}'], { type: 'application/json' }))
  await attack(victim, 'a beacon of JSON', origin, ['OPTIONS /logout/ 204'], typed)
}

async function reading(victim, origin) {
  for (const [options, wanted] of [
    [{}, ['GET /sessions/ 401']],
    [{ headers: { Authorization: `Bearer ${victim.token}` } }, ['OPTIONS /sessions/ 204']],
  ]) {
    same(await attack(victim, 'reading the sessions', origin, wanted, request, '/sessions/', options), 'TypeError')
  }
  const deletion = { method: 'DELETE' }
  const path = `/sessions/${victim.session}/`
  same(await attack(victim, 'ending a session', origin, [`OPTIONS ${path} 204`], request, path, deletion), 'TypeError')
}

async function loading(victim, origin) {
  const element = (api, path, kind) => new Promise((resolve) => {
    const element = document.createElement(kind)
    Object.assign(element, { onload: resolve, onerror: resolve, [kind === 'link' ? 'href' : 'src']: api + path })
    if (kind === 'link') element.rel = 'stylesheet'
    document.body.append(element)
  })
  const click = (api, path) => {
    const link = document.createElement('a')
    link.href = api + path
    document.body.append(link)
    link.click()
  }
  for (const path of TARGETS) {
    const wanted = [`GET ${path} 405`]
    await attack(victim, `a link to ${path}`, origin, wanted, click, path)
    if (!WORST.includes(path)) continue
    for (const kind of ['img', 'iframe', 'script', 'link']) {
      await attack(victim, `an ${kind} of ${path}`, origin, wanted, element, path, kind)
    }
    await attack(victim, `a window of ${path}`, origin, wanted, (api, path) => void window.open(api + path), path)
  }
}

/** An origin that is called `null`. */
async function sandboxes(victim, origin) {
  const sandboxed = (api, script) => new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.sandbox = 'allow-scripts allow-forms'
    frame.srcdoc = `<script>const api = ${JSON.stringify(api)}; ${script}<\/script>`
    addEventListener('message', (event) => resolve(event.data))
    document.body.append(frame)
  })
  const bare = `fetch(api + '/refresh/', { method: 'POST', credentials: 'include' }).then(() => 'read', () => 'refused')`
  const asking = `fetch(api + '/refresh/', { method: 'POST', credentials: 'include', headers: { 'X-Requested-With': 'f' } })`
  const tell = (script) => `${script}.then((said) => parent.postMessage(said ?? 'read', '*'), () => parent.postMessage('refused', '*'))`
  same(await attack(victim, 'a bare fetch in a sandbox', origin, ['POST /refresh/ 401'], sandboxed, tell(bare)), 'refused')
  same(await attack(victim, 'a fetch with a header in a sandbox', origin, ['OPTIONS /refresh/ 204'], sandboxed, tell(asking)), 'refused')
}

/** To have a visitor enter under the attacker's name what is meant for an account of his own. */
async function loginsOfOthers(guest, origin) {
  const body = JSON.stringify(MALLORY)
  const typed = { 'Content-Type': 'application/json' }
  for (const inFrame of [true, false]) {
    const about = `logging a guest in by a form, ${inFrame ? 'in a frame' : 'leaving'}`
    await attack(guest, about, origin, ['POST /login/ 415'], form, '/login/', 'text/plain', asText(MALLORY), inFrame)
  }
  for (const [wanted, options] of [
    ['POST /login/ 415', { mode: 'no-cors', body }],
    ['POST /login/ 415', { mode: 'cors', body }],
    ['OPTIONS /login/ 204', { headers: typed, body }],
    ['OPTIONS /login/ 204', { headers: { ...typed, 'X-Requested-With': 'fetch' }, body }],
  ]) {
    await attack(guest, 'logging a guest in by a script', origin, [wanted], request, '/login/', { method: 'POST', ...options })
  }
}

/** Cookies of the attacker's that are meant to be taken for the victim's, or to hide it. */
async function cookies(victim, origin) {
  const domain = 'Domain=example.test; Path=/; Secure'
  const page = (victim.attacker ??= await victim.visitor.blank())
  for (const [line, taken] of [
    [`${COOKIE}=evil; ${domain}`, false],
    [`${COOKIE}=evil; Domain=example.test; Path=/refresh/; Secure`, false],
    [`${COOKIE} =evil; ${domain}`, false],
    [`${COOKIE.toLowerCase()}=evil; ${domain}`, false],
    [`=${COOKIE}=evil; ${domain}`, false],
    [`${COOKIE}; ${domain}`, false],
    // These may be set, and are sent to the service together with the victim's.
    [`\u2000${COOKIE}=evil; ${domain}`, true],
    [`other=${COOKIE}=evil; ${domain}`, true],
    [`other="; ${domain}`, true],
    [`other=K\u00f6ln; ${domain}`, true],
    [`K\u00f6ln=\u00ff; Domain=example.test; Path=/refresh/; Secure`, true],
  ]) {
    // By an answer, whose lines are bytes, and by a script.
    for (const way of ['answer', 'script']) {
      const bytes = Buffer.from(line).toString('latin1')
      await page.goto(way === 'answer' ? `${origin}/?cookie=${encodeURIComponent(bytes)}` : origin)
      // A script's cookie is on its way to the part of the browser that keeps it: reading waits for it to be there.
      if (way === 'script') await page.evaluate((line) => { document.cookie = line; return document.cookie }, line)
      const expected = taken && origin === world.sibling ? 1 : 0
      const deadline = Date.now() + 10_000
      const about = `after the cookie ${JSON.stringify(line)} by ${way} from ${origin}`
      let tossed
      for (;;) {
        tossed = (await victim.visitor.context.cookies()).filter((cookie) => cookie.domain === '.example.test')
        if (tossed.length >= expected || Date.now() > deadline) break
        await pause(10)
      }
      same(tossed.length, expected, about)
      await victim.expectUntouched(about)
      await victim.visitor.context.deleteCookie(...tossed)
    }
  }
}

/** The page in a frame, to have the user click on what is under something else. */
async function framing(victim, origin) {
  const page = await victim.visitor.blank()
  await page.goto(origin)
  const asked = []
  page.on('response', (response) => asked.push(response.url()))
  await page.evaluate((url) => new Promise((resolve) => {
    const frame = document.createElement('iframe')
    Object.assign(frame, { src: url, onload: resolve })
    document.body.append(frame)
  }), world.page)
  const shown = () => page.frames()[1].url()
  // The browser says in it, a moment later, that it will not show the page.
  for (let tries = 0; shown() === '' && tries < 1000; tries += 1) await pause(10)
  same([asked.includes(`${world.page}/`), shown()], [true, 'chrome-error://chromewebdata/'])
  await page.close()
  await victim.expectUntouched('after framing')
}

try {
  const mallory = await stage.visitor()
  const registration = { username: 'mallory', email: 'mallory@example.org', password: PASSWORD }
  same(await submit(await mallory.tab(), 'register', registration), DONE)
  for (const [name, origin] of [['alice', world.stranger], ['bob', world.sibling]]) {
    const victim = await Victim.arrive(name)
    await victim.expectSameSession('before anything')
    for (const kind of [forms, scripts, reading, loading, sandboxes, framing, cookies]) {
      await kind(victim, origin)
      await victim.expectSameSession(`after ${kind.name} from ${origin}`)
    }
    await loginsOfOthers(await Guest.arrive(), origin)
  }
} finally {
  await stage.end()
}
console.log(`${count()} checks`)
