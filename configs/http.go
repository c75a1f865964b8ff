package configs

import (
	"fmt"
)

// HTTP is the server for metrics, health checks and the admin API.
type HTTP struct {
	// Addr is host:port; empty serves no HTTP.
	Addr string  `yaml:"addr" restart:"yes"`
	TLS  HTTPTLS `yaml:"tls" restart:"yes"`
	// Tokens and Certificates say who may use the API at Addr, and for what.
	Tokens       []HTTPToken       `yaml:"tokens"`
	Certificates []HTTPCertificate `yaml:"certificates"`
	// Audit takes a line of JSON for each change that was asked for; a reload opens it
	// again.
	Audit LogFile `yaml:"audit" restart:"yes"`
	// Console serves a web page for operators at Addr.
	Console bool `yaml:"console" restart:"yes"`
	// OIDC is how people log in there but by tokens.
	OIDC HTTPOIDC `yaml:"oidc"`
}

// HTTPTLS is the encryption of http.addr.
type HTTPTLS struct {
	// CertFile is the certificate, empty for plain HTTP; KeyFile its key, in CertFile if
	// empty.
	CertFile ChainFile  `yaml:"cert_file"`
	KeyFile  SecretFile `yaml:"key_file"`
	// ClientCAFile are the authorities whose certificates clients may have; empty asks
	// for none.
	ClientCAFile ChainFile `yaml:"client_ca_file"`
}

// HTTPToken lets in a program that sends it.
type HTTPToken struct {
	// Name is what the audit log calls it; unique.
	Name string `yaml:"name"`
	Role Role   `yaml:"role"`
	// Token is the secret; TokenFile holds it instead.
	Token     Secret     `yaml:"token"`
	TokenFile SecretFile `yaml:"token_file"`
}

// setDefaults implements defaulter.
func (t *HTTPToken) setDefaults() { *t = HTTPToken{Role: ReadRole} }

// HTTPCertificate lets in a client by its certificate.
type HTTPCertificate struct {
	// Name is the common name in the certificate, or one of its alternative names.
	Name string `yaml:"name"`
	Role Role   `yaml:"role"`
}

// setDefaults implements defaulter.
func (c *HTTPCertificate) setDefaults() { *c = HTTPCertificate{Role: ReadRole} }

// Role is what somebody may do by the API. Each includes those before it.
type Role string

// The roles.
const (
	ReadRole    Role = "read"
	OperateRole Role = "operate"
	AdminRole   Role = "admin"
)

func (Role) values() []string {
	return []string{string(ReadRole), string(OperateRole), string(AdminRole)}
}

// maxCertificateName bounds a name in a certificate (RFC 5280 has 64 for the common
// name, DNS 255).
const maxCertificateName = 255

func (l *loader) checkHTTP(cfg *Config) {
	h := &cfg.HTTP
	l.checkHTTPTokens(cfg)
	l.checkOIDC(cfg)
	seen := map[string]bool{}
	for i, c := range h.Certificates {
		at := fmt.Sprintf("http.certificates[%d]", i)
		switch {
		case c.Name == "" || len(c.Name) > maxCertificateName:
			l.errorAt(at+".name", "is no name of a certificate", "write its common name, or one of its alternative names")
		case seen[c.Name]:
			l.errorAt(at+".name", fmt.Sprintf("%q is there twice", c.Name), "")
		}
		seen[c.Name] = true
	}
	if t := h.TLS; t.CertFile == "" && (t.KeyFile != "" || t.ClientCAFile != "") {
		l.errorAt("http.tls.cert_file", "is missing", "name the file with the server's certificate")
	}
	if len(h.Certificates) > 0 && h.TLS.ClientCAFile == "" {
		l.warnAt("http.certificates", "let in nobody: there is no authority to vouch for them", "name the authorities that issue them as http.tls.client_ca_file")
	}
	if h.Addr == "" {
		if len(h.Tokens) > 0 || h.TLS.CertFile != "" {
			l.warnAt("http.addr", "is empty: tokens and certificates open nothing", "name an address, or remove them")
		}
		return
	}
	addr, ok := l.checkHostPort("http.addr", h.Addr)
	if !ok || addr.Addr().IsLoopback() {
		return
	}
	l.warnAt("http.addr", "whoever reaches this address reads metrics without a password", "keep it inside your network")
	if h.TLS.CertFile == "" && (len(h.Tokens) > 0 || cfg.Events.Bearer != "") {
		l.warnAt("http.tokens", "can be read by others on the way", "name a certificate as http.tls.cert_file")
	}
}

// checkHTTPTokens looks for tokens that are missing, short, or not telling who has
// them.
func (l *loader) checkHTTPTokens(cfg *Config) {
	names, owners := names{}, map[Secret]string{}
	if b := cfg.Events.Bearer; b != "" {
		owners[b] = "events.bearer"
	}
	for i := range cfg.HTTP.Tokens {
		t := &cfg.HTTP.Tokens[i]
		at := fmt.Sprintf("http.tokens[%d]", i)
		l.checkName(names, "http.tokens", i, t.Name)
		l.checkSecretPair(at+".token", t.TokenFile, &t.Token)
		switch other, twice := owners[t.Token]; {
		case t.Token == "" && t.TokenFile == "":
			l.required(at+".token", "write ${NAME} for an environment variable, or name a file as token_file")
		case t.Token == "":
			// What is wrong with the file was said.
		case len(t.Token) < minBearer:
			l.errorAt(at+".token", fmt.Sprintf("is shorter than %d characters", minBearer), "openssl rand -hex 32 writes a good one")
		case twice:
			l.errorAt(at+".token", "is that of "+other, "give each its own")
		default:
			owners[t.Token] = at
		}
	}
}
