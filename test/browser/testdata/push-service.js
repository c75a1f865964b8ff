// A push service that others wrote, web-push-testing, on TLS, with the browser that
// reads the pushes. It also takes pushes without payload, which the original
// refuses, and checks these with the original's own functions, too: the VAPID
// token, its key, and TTL.
//
//   node push-service.js MODULES CERT KEY VAPID
//
// MODULES is the folder of libraries, VAPID the key that the one subscription is
// bound to. It prints the subscription and, as they come, what the payloads say, a
// line of JSON each, and ends with its standard input.
const fs = require('fs')
const https = require('https')

const [modules, cert, key, applicationServerKey] = process.argv.slice(2)
const { PushApiModel } = require(`${modules}/web-push-testing/src/PushApiModel.js`)
const service = new PushApiModel()

const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, async (request, response) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  const client = request.url.slice(1)
  try {
    const { authorization, ttl } = request.headers
    if (body.length > 0) {
      await service.handleNotification(client, { encoding: request.headers['content-encoding'], ttl, authorization }, body)
      console.log(JSON.stringify(service.messages[client].pop()))
      response.writeHead(201).end()
      return
    }
    const subscription = service.subscriptions[client]
    service.validateNotificationHeaders(subscription, { encoding: 'aes128gcm', ttl, authorization })
    const [token, publicKey] = service.getVapidHeaderFields(authorization)
    service.validateCrypto(publicKey, subscription.applicationServerKey)
    await service.validateAuthorizationHeader(client, token)
    response.writeHead(201).end()
  } catch (error) {
    response.writeHead(403).end(error.message)
  }
})

server.listen(0, '127.0.0.1', async () => {
  service.notifyUrl = `https://127.0.0.1:${server.address().port}/`
  console.log(JSON.stringify(await service.subscribe({ applicationServerKey })))
})
process.stdin.on('end', () => process.exit()).resume()
