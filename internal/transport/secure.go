package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"reveille/flow"
)

// secure puts TLS on a connection and returns what goes through it. It runs on
// the connection's goroutine, bounded by ctx, before the stream's handshake.
// Renegotiation is refused, as crypto/tls does unless told otherwise.
func (c *conn) secure(ctx context.Context, nc net.Conn) (net.Conn, error) {
	var tc *tls.Conn
	if c.dialled {
		tc = tls.Client(nc, c.l.clientConfig(c.server()))
	} else {
		tc = tls.Server(nc, c.l.tls)
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	state := tc.ConnectionState()
	// RFC 5922 §7.4: a client that shows no certificate, or one that was not
	// verified, has no identity.
	if len(state.VerifiedChains) > 0 || c.dialled {
		c.names = identities(state.PeerCertificates[0])
	}
	return tc, nil
}

// server is the name or the address that the certificate of a dialled peer must
// hold.
func (c *conn) server() string {
	if c.name != "" {
		return c.name
	}
	return c.flow.Remote.Addr().WithZone("").String()
}

// clientConfig returns the client side of TLS toward server. crypto/tls would
// take wildcards and does not look at SIP URIs, both against RFC 5922 §7, so the
// chain and the name are verified here.
func (l *listener) clientConfig(server string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.dialTLS != nil {
		cfg = l.dialTLS().Clone()
	}
	cfg.ServerName = server       // As SNI, unless it is an address.
	cfg.InsecureSkipVerify = true //nolint:gosec // VerifyConnection does it.
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		return verifyServer(state.PeerCertificates, cfg.RootCAs, server)
	}
	return cfg
}

// verifyServer checks the chain that a server showed, its own certificate first,
// and that this is one for name (RFC 5922 §7.3).
func verifyServer(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	if len(chain) == 0 {
		return errors.New("the server has no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return err
	}
	if !vouchesFor(chain[0], name) {
		return fmt.Errorf("the certificate is not for %s but for %q", name, identities(chain[0]))
	}
	return nil
}

// PeerNames returns the SIP domains, in lower case, that the peer of f has proven
// to be by a certificate that was verified (RFC 5922 §7.1); none for a flow that
// is not protected by TLS, or that has ended. The result must not be changed.
func (t *Transport) PeerNames(f flow.Flow) []string {
	if !f.Transport.Secure() {
		return nil
	}
	if c := t.conn(f); c != nil {
		return c.names
	}
	return nil
}
