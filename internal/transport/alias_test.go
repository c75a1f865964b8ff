package transport

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"

	"reveille/flow"
	"reveille/internal/tlscert/certtest"
)

// aliased is a request whose sender wants requests for sentBy on the connection by which
// it came.
func aliased(transport, sentBy string) string {
	return strings.Replace(message(1, ""), "SIP/2.0/TCP 192.0.2.50:5060", "SIP/2.0/"+transport+" "+sentBy+";alias", 1)
}

// TestAlias_WithoutProof_RFC5923_9_2: who cannot prove by a certificate to be the host in its
// Via could have the calls of others sent to itself. So the parameter means nothing over
// TCP, or TLS without a certificate of the client: whoever is to be reached there is
// connected to.
func TestAlias_WithoutProof_RFC5923_9_2(t *testing.T) {
	t.Run("TCP", func(t *testing.T) {
		inBubble(t, Options{}, func(t *testing.T, b *bench) {
			gateway := b.pbx("192.0.2.70")
			thief := b.dial(b.net.Host("192.0.2.66"))
			for _, sentBy := range []string{"192.0.2.70:5060", "192.0.2.70"} {
				mustWrite(t, thief, aliased("TCP", sentBy))
				synctest.Wait()
				claimed := b.last()
				if o := <-b.connect(flow.TCP, "192.0.2.70:5060"); o.err != nil || o.f == claimed {
					t.Fatalf("Connect = %v, %v; the connection with the alias is %v", o.f, o.err, claimed)
				}
			}
			accept(t, gateway)
		})
	})
	t.Run("TLS", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := certtest.New(t)
			o := Options{Listeners: secureListener(&tls.Config{
				Certificates: []tls.Certificate{a.Issue("sip.example.com")}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.Pool(),
			})}
			o.Listeners[0].DialTLS = dialTLS(a)
			runBench(t, o, func(t *testing.T, b *bench) {
				b.serveTLS(b.net.Host("192.0.2.70"), &tls.Config{Certificates: []tls.Certificate{a.Issue("gw.example.net")}})
				thief := b.secured(b.net.Host("192.0.2.66"), a)
				mustWrite(t, thief, aliased("TLS", "gw.example.net"))
				synctest.Wait()
				claimed := b.last()
				if o := b.connectTo("gw.example.net", "192.0.2.70:5061"); o.err != nil || o.f == claimed {
					t.Errorf("ConnectTo = %v, %v; the connection with the alias is %v", o.f, o.err, claimed)
				}
			})
		})
	})
}
