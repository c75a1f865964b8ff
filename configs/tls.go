package configs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// ListenTLS is the encryption of a listener.
type ListenTLS struct {
	// CertFile is the certificate, followed by those between it and the root;
	// KeyFile its key, in CertFile if empty.
	CertFile ChainFile  `yaml:"cert_file"`
	KeyFile  SecretFile `yaml:"key_file"`
	// Certificates are more of them, for clients that ask for another name.
	Certificates []Certificate `yaml:"certificates"`
	// ClientAuth asks clients for a certificate of the authorities in
	// ClientCAFile.
	ClientAuth   ClientAuth `yaml:"client_auth"`
	ClientCAFile ChainFile  `yaml:"client_ca_file"`
	// ServerCAFile are the authorities of the servers that are connected to; empty
	// means those of the machine.
	ServerCAFile ChainFile  `yaml:"server_ca_file"`
	MinVersion   TLSVersion `yaml:"min_version"`
	// Ciphers are the suites allowed for TLS 1.2; none means a choice of ours.
	Ciphers []string `yaml:"ciphers"`
}

// Certificate is a certificate with its key, in CertFile if KeyFile is empty.
type Certificate struct {
	CertFile ChainFile  `yaml:"cert_file"`
	KeyFile  SecretFile `yaml:"key_file"`
}

// setDefaults implements defaulter.
func (t *ListenTLS) setDefaults() { *t = ListenTLS{ClientAuth: NoClientAuth, MinVersion: TLS12} }

// All returns the certificates, the default first.
func (t *ListenTLS) All() []Certificate {
	return append([]Certificate{{t.CertFile, t.KeyFile}}, t.Certificates...)
}

// ClientAuth says whether clients are asked for a certificate.
type ClientAuth string

// NoClientAuth does not ask. RequestClientAuth takes those without one, too;
// RequireClientAuth nobody else.
const (
	NoClientAuth      ClientAuth = "none"
	RequestClientAuth ClientAuth = "request"
	RequireClientAuth ClientAuth = "require"
)

func (ClientAuth) values() []string {
	return []string{string(NoClientAuth), string(RequestClientAuth), string(RequireClientAuth)}
}

// TLSVersion is the least version of TLS that is spoken.
type TLSVersion string

// The versions.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

func (TLSVersion) values() []string { return []string{string(TLS12), string(TLS13)} }

// checkTLS looks at the encryption of one listener. Its files were found.
func (l *loader) checkTLS(at string, ln Listen) {
	switch secure := ln.Transport.secure(); {
	case ln.Transport == "":
		return
	case secure && ln.TLS == nil:
		l.errorAt(at+".tls", "is missing", "name at least tls.cert_file and tls.key_file")
		return
	case !secure && ln.TLS != nil:
		l.errorAt(at+".tls", fmt.Sprintf("does not belong to a listener that speaks %s", ln.Transport), "write transport: tls or wss")
		return
	case ln.TLS == nil:
		return
	}
	t := ln.TLS
	at += ".tls"
	if t.CertFile == "" {
		l.required(at+".cert_file", "name the file with the server's certificate")
	}
	// That a key belongs to its certificate is seen by who loads them.
	for i, c := range t.Certificates {
		if c.CertFile == "" {
			l.required(fmt.Sprintf("%s.certificates[%d].cert_file", at, i), "name the file with the certificate")
		}
	}
	if t.ClientAuth != NoClientAuth && t.ClientCAFile == "" {
		l.errorAt(at+".client_auth", fmt.Sprintf("%s takes certificates, but client_ca_file does not say whose", t.ClientAuth),
			"name the file with the authorities that issue them")
	}
	if t.ClientAuth == NoClientAuth && t.ClientCAFile != "" {
		l.warnAt(at+".client_ca_file", "has no effect while client_auth is none", "write client_auth: request or require")
	}
	known := cipherNames()
	for i, name := range t.Ciphers {
		if !slices.Contains(known, name) {
			l.errorAt(fmt.Sprintf("%s.ciphers[%d]", at, i), fmt.Sprintf("%q is no cipher suite of TLS 1.2 that is safe", name), suggest(name, known))
		}
	}
}

// cipherNames are the suites that can be chosen: those of TLS 1.3 are always on.
func cipherNames() []string {
	var names []string
	for _, c := range tls.CipherSuites() {
		if slices.Contains(c.SupportedVersions, tls.VersionTLS12) {
			names = append(names, c.Name)
		}
	}
	return names
}

// checkChainFile looks at the times of PEM certificates.
func (l *loader) checkChainFile(path, file string) {
	rest, ok := l.open(path, file)
	if !ok {
		return
	}
	found := false
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		found = true
		cert, err := x509.ParseCertificate(block.Bytes)
		switch date := time.DateOnly; {
		case err != nil:
			l.errorAt(path, file+" holds a damaged certificate", "")
		case l.env.Now.After(cert.NotAfter):
			l.warnAt(path, fmt.Sprintf("%s expired on %s", file, cert.NotAfter.UTC().Format(date)), "replace it: nobody who verifies it will connect")
		case l.env.Now.Before(cert.NotBefore):
			l.warnAt(path, fmt.Sprintf("%s is not valid before %s", file, cert.NotBefore.UTC().Format(date)), "is the clock right?")
		case l.env.Now.Add(expiringSoon).After(cert.NotAfter):
			l.warnAt(path, fmt.Sprintf("%s expires on %s", file, cert.NotAfter.UTC().Format(date)), "replace it soon")
		}
	}
	if !found {
		l.errorAt(path, file+" holds no PEM certificate", "")
	}
}

// secure reports whether t is protected by TLS.
func (t ListenerTransport) secure() bool { return t == TLS || t == WSS }

// checkProxyProtocol looks at the networks of load balancers.
func (l *loader) checkProxyProtocol(at string, ln Listen) {
	if len(ln.ProxyProtocol) > 0 && ln.Transport == UDP {
		l.errorAt(at+".proxy_protocol", "does not exist for udp", "name it for a listener of connections")
	}
	for i, p := range ln.ProxyProtocol {
		path := fmt.Sprintf("%s.proxy_protocol[%d]", at, i)
		if l.checkPrefix(path, p) && p.Bits() == 0 {
			l.errorAt(path, "lets everybody say who they are", "name the addresses of your balancers")
		}
	}
}
