// What the programs for the browser share: servers for the pages, the browser, and whoever sits in front of it.

import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import puppeteer from 'puppeteer-core'

const PATIENCE_MILLISECONDS = 60_000
export const COOKIE = '__Host-refresh_token'
export const PASSWORD = 'correct horse battery staple'

const hostOf = (origin) => new URL(origin).host

/** A page without anything in it, for whatever a test runs on it. */
const EMPTY = '<!doctype html><meta charset="utf-8"><title>empty</title><link rel="icon" href="data:,"><p>nothing</p>'

export class Stage {
  /** Everything that has reached the service through us: `POST /logout/ 403 with cookie`. */
  arrived = []

  /** With `watched`, the service's own origin leads through us, too; else straight to the service. */
  static async start(world, { watched = false } = {}) {
    const stage = new Stage()
    stage.world = world
    stage.example = await import(pathToFileURL(path.join(world.example, 'serve.mjs')))
    const certificate = readFileSync(world.certificate)
    stage.server = https.createServer({ cert: certificate, key: readFileSync(world.key) }, (...pair) => stage.answer(...pair))
    stage.server.listen(0, '127.0.0.1')
    await once(stage.server, 'listening')
    const ours = `127.0.0.1:${stage.server.address().port}`
    const rules = [world.page, world.sibling, world.stranger].map((origin) => `MAP ${hostOf(origin)}:443 ${ours}`)
    if (world.api !== world.page) rules.push(`MAP ${hostOf(world.api)}:443 ${watched ? ours : hostOf(world.service)}`)
    // No other certificate than that of the test is trusted, and no other name is found.
    const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' })
    const args = [
      `--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND'].join(', ')}`,
      `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
      '--disable-quic', '--disable-dev-shm-usage', '--disable-gpu',
    ]
    // Its sandbox does not start as root.
    if (process.getuid() === 0) args.push('--no-sandbox')
    stage.browser = await puppeteer.launch({
      executablePath: process.env.CHROMIUM, args, timeout: PATIENCE_MILLISECONDS, protocolTimeout: PATIENCE_MILLISECONDS,
    })
    return stage
  }

  async end() {
    await this.browser.close()
    this.server.closeAllConnections()
    this.server.close()
  }

  answer(request, response) {
    const { world, example } = this
    const host = request.headers.host
    if (host === hostOf(world.page) && example.servePage(request, response, world.api === world.page ? '' : world.api)) return
    if (host === hostOf(world.api)) {
      const cookie = request.headers.cookie?.includes(COOKIE) ? 'with' : 'without'
      response.on('finish', () => {
        this.arrived.push(`${request.method} ${request.url} ${response.statusCode} ${cookie} cookie`)
      })
      return example.forward(request, response, world.service)
    }
    // Cookies that a host sets by an answer, one in each member of the list.
    const lines = new URL(request.url, 'https://any').searchParams.getAll('cookie')
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', ...(lines.length && { 'Set-Cookie': lines }) })
    response.end(EMPTY)
  }

  async visitor() {
    return new Visitor(this, await this.browser.createBrowserContext())
  }

  /** Asks as a resource server does. */
  async isActive(token) {
    const { id, secret } = { id: this.world.resource_server.client_id, secret: this.world.resource_server.client_secret }
    const answer = await fetch(`${this.world.service}/introspect`, {
      method: 'POST', body: new URLSearchParams({ token }),
      headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    })
    if (answer.status !== 200) throw new Error(`introspection answered ${answer.status}`)
    return (await answer.json()).active
  }
}

/** Somebody with a browser of his own: nothing is shared with another visitor. */
export class Visitor {
  /** What the service has answered to pages: `{ method, path, status, headers, text }`. */
  answers = []

  constructor(stage, context) {
    Object.assign(this, { stage, context })
  }

  async blank() {
    const page = await this.context.newPage()
    page.setDefaultTimeout(PATIENCE_MILLISECONDS)
    return page
  }

  /** A tab that shows the page. */
  async tab() {
    const page = await this.blank()
    page.on('response', async (response) => {
      const url = new URL(response.url())
      const method = response.request().method()
      if (url.origin !== this.stage.world.api || response.request().resourceType() !== 'fetch' || method === 'OPTIONS') return
      // The text of an answer is gone when its page is.
      const text = await response.text().catch(() => '')
      this.answers.push({ method, path: url.pathname + url.search, status: response.status(), headers: response.headers(), text })
    })
    await page.goto(this.stage.world.page)
    await settled(page)
    return page
  }

  /** The cookie of the refresh token, as the browser keeps it. */
  async cookie() {
    const found = (await this.context.cookies()).filter((cookie) => cookie.name === COOKIE)
    if (found.length > 1) throw new Error('there are two cookies')
    return found[0]
  }

  /** The access tokens that the page has got, the newest last. */
  tokens() {
    return this.answers.flatMap(({ text }) => text.startsWith('{') ? JSON.parse(text).access_token ?? [] : [])
  }

  statuses(path) {
    return this.answers.filter((answer) => answer.path === path).map((answer) => answer.status)
  }
}

export const wait = (page, condition, ...given) => page.waitForFunction(condition, { polling: 20 }, ...given)

/** Waits until the page knows who is there. */
export async function settled(page) {
  await wait(page, () => ![undefined, 'unknown'].includes(document.body?.dataset.state))
  return state(page)
}

export const state = (page) => page.$eval('body', (body) => body.dataset.state)

export async function reload(page) {
  await page.reload()
  return settled(page)
}

/** A click of a person, who has the tab in front. */
export async function click(page, selector) {
  await page.bringToFront()
  await page.click(selector)
}

/** Fills a form in, sends it by its button, waits until it is done, and gives what is then shown. */
export async function submit(page, form, fields) {
  await page.$eval(`#${form}`, (form, fields) => {
    for (const [name, value] of Object.entries(fields)) form.elements.namedItem(name).value = value
  }, fields)
  await click(page, `#${form} button`)
  await wait(page, (form) => !document.querySelector(`#${form} button`).disabled, form)
  return page.$eval(`#${form}`, (form) => ({
    state: document.body.dataset.state,
    reason: form.querySelector('output').textContent && form.querySelector('output').dataset.reason,
    field: form.querySelector('[aria-invalid]')?.name ?? '',
  }))
}

export const DONE = { state: 'signed-in', reason: '', field: '' }

/** Presses a button after which another state is to be shown. */
export async function press(page, selector, becomes) {
  await click(page, selector)
  await wait(page, (becomes) => document.body.dataset.state === becomes, becomes)
}

/** How many sessions the page lists, once there are so many. */
export async function sessions(page, count) {
  await wait(page, (count) => document.querySelectorAll('#sessions li').length === count, count)
  return count
}
