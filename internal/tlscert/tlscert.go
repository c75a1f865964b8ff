package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// ClientAuth says whether clients are asked for a certificate.
type ClientAuth int

// The ways to treat clients. Request takes those without a certificate, but
// refuses one that was not issued by ClientCA.
const (
	None ClientAuth = iota
	Request
	Require
)

// Options say what a Set is made of.
type Options struct {
	// Pairs are the server's certificates, at least one; the first is shown to
	// clients that ask for a name that none is for.
	Pairs []Pair
	// ClientAuth asks clients for a certificate of the authorities in the file
	// ClientCA, which is required then.
	ClientAuth ClientAuth
	ClientCA   string
	// ServerCA is the file of the authorities for the servers that we connect to;
	// empty means those of the machine.
	ServerCA string
	// MinVersion is tls.VersionTLS12 or tls.VersionTLS13; 0 means the former.
	MinVersion uint16
	// Ciphers are the suites allowed for TLS 1.2, those of 1.3 being fixed; none
	// means those that crypto/tls prefers.
	Ciphers []uint16
}

// A Set is what was read from files at one time. It is immutable.
type Set struct {
	server, client *tls.Config
	leaves         []Leaf
}

// A Leaf is a certificate of the server itself.
type Leaf struct {
	// File is the path as configured.
	File string
	// NotAfter is when it expires.
	NotAfter time.Time
}

// Load reads all files of o. The error joins the Faults of all of them. It does
// not look at the time: a server that starts with an expired certificate still
// serves those who come by other listeners.
func Load(o Options) (*Set, error) {
	s := &Set{server: &tls.Config{MinVersion: o.MinVersion, CipherSuites: o.Ciphers}}
	if o.MinVersion == 0 {
		s.server.MinVersion = tls.VersionTLS12
	}
	var errs []error
	if len(o.Pairs) == 0 {
		errs = append(errs, errors.New("no certificate"))
	}
	for _, p := range o.Pairs {
		c, err := p.Load()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.server.Certificates = append(s.server.Certificates, c)
		s.leaves = append(s.leaves, Leaf{File: p.CertFile, NotAfter: c.Leaf.NotAfter})
	}
	s.client = s.server.Clone()
	switch o.ClientAuth {
	case Request:
		s.server.ClientAuth = tls.VerifyClientCertIfGiven
	case Require:
		s.server.ClientAuth = tls.RequireAndVerifyClientCert
	case None:
	}
	for _, ca := range []struct {
		file     string
		required bool
		pool     **x509.CertPool
	}{
		{o.ClientCA, o.ClientAuth != None, &s.server.ClientCAs},
		{o.ServerCA, false, &s.client.RootCAs},
	} {
		switch {
		case ca.file != "":
			var err error
			if *ca.pool, err = LoadPool(ca.file); err != nil {
				errs = append(errs, err)
			}
		case ca.required:
			// Without authorities crypto/tls would take those of the machine: anybody
			// with a certificate of the Web.
			errs = append(errs, errors.New("no authorities for the certificates of clients"))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Leaves returns the server's certificates in configured order.
func (s *Set) Leaves() []Leaf { return slices.Clone(s.leaves) }

// A Source hands out the Set in force. It is safe for concurrent use.
type Source struct {
	current atomic.Pointer[Set]
	config  *tls.Config
}

// NewSource returns a Source of s.
func NewSource(s *Set) *Source {
	src := &Source{}
	src.current.Store(s)
	// The keys of session tickets belong to this configuration, so that sessions
	// outlive a change of certificates.
	src.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return src.current.Load().server, nil
		},
	}
	return src
}

// Replace puts s into force for the handshakes that begin from now on.
// Connections that are open go on with what they have.
func (s *Source) Replace(set *Set) { s.current.Store(set) }

// Current returns the Set in force.
func (s *Source) Current() *Set { return s.current.Load() }

// Server is the configuration of a listener; it stays the same.
func (s *Source) Server() *tls.Config { return s.config }

// Client is the configuration of connections to others, until the next Replace.
// It must not be changed.
func (s *Source) Client() *tls.Config { return s.current.Load().client }

// Cipher returns a suite by its name. ok is false for one that is unknown,
// insecure, or of TLS 1.3, whose suites cannot be chosen.
func Cipher(name string) (id uint16, ok bool) {
	for _, c := range tls.CipherSuites() {
		if c.Name == name && slices.Contains(c.SupportedVersions, tls.VersionTLS12) {
			return c.ID, true
		}
	}
	return 0, false
}
