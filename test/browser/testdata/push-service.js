// A push service that others wrote, web-push-testing, on TLS. It takes pushes
// without payload, which the original refuses, and checks all else with the
// original's own functions: the VAPID token, its key, and TTL.
//
//   node push-service.js MODULES CERT KEY VAPID
//
// MODULES is the folder of libraries, VAPID the key that the one subscription is
// bound to. It prints the subscription's URL, and ends with its standard input.
const fs = require('fs')
const https = require('https')

const [modules, cert, key, applicationServerKey] = process.argv.slice(2)
const { PushApiModel } = require(`${modules}/web-push-testing/src/PushApiModel.js`)
const service = new PushApiModel()

const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, async (request, response) => {
  let length = 0
  for await (const chunk of request) length += chunk.length
  const client = request.url.slice(1)
  try {
    const { authorization, ttl } = request.headers
    const subscription = service.subscriptions[client]
    service.validateNotificationHeaders(subscription, { encoding: 'aes128gcm', ttl, authorization })
    const [token, publicKey] = service.getVapidHeaderFields(authorization)
    service.validateCrypto(publicKey, subscription.applicationServerKey)
    await service.validateAuthorizationHeader(client, token)
    response.writeHead(length === 0 ? 201 : 400).end()
  } catch (error) {
    response.writeHead(403).end(error.message)
  }
})

server.listen(0, '127.0.0.1', async () => {
  service.notifyUrl = `https://127.0.0.1:${server.address().port}/`
  console.log((await service.subscribe({ applicationServerKey })).endpoint)
})
process.stdin.on('end', () => process.exit()).resume()
