package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Access says who may use the API on the address. On the control socket nobody is
// asked: the file's mode keeps others out.
type Access struct {
	Tokens       []Token
	Certificates []Certificate
	// Reporter is a token for the stream of events and the reports of pushes alone;
	// empty: there is none. ReporterTokens has push tokens shown to it.
	Reporter       string
	ReporterTokens bool
}

// A Token is what a program sends in the header Authorization (RFC 6750).
type Token struct {
	// Name is what the audit log calls its owner.
	Name   string
	Role   Role
	Secret string
}

// A Certificate is that of a client, which the authorities of Options.TLS signed.
type Certificate struct {
	// Name is its common name, or one of its alternative names: of DNS, mail or URI.
	Name string
	Role Role
}

// validate reports what would let in somebody who must not come in.
func (a Access) validate() error {
	for _, t := range a.Tokens {
		if t.Secret == "" || t.Name == "" || !t.Role.valid() {
			return fmt.Errorf("admin: token %q lacks a name, a secret or a role", t.Name)
		}
	}
	for _, c := range a.Certificates {
		if c.Name == "" || !c.Role.valid() {
			return fmt.Errorf("admin: certificate %q lacks a name or a role", c.Name)
		}
	}
	return nil
}

// hashed is an Access as it is compared: of secrets there is the hash.
type hashed struct {
	tokens       []hashedToken
	certificates []Certificate
}

type hashedToken struct {
	sum [sha256.Size]byte
	who Principal
}

func (a Access) hash() *hashed {
	h := &hashed{certificates: slices.Clone(a.Certificates)}
	for _, t := range a.Tokens {
		h.tokens = append(h.tokens, hashedToken{sha256.Sum256([]byte(t.Secret)), Principal{Kind: KindToken, Name: t.Name, Role: t.Role}})
	}
	if a.Reporter != "" {
		h.tokens = append(h.tokens, hashedToken{
			sha256.Sum256([]byte(a.Reporter)), Principal{Kind: KindReporter, Name: "events.bearer", Tokens: a.ReporterTokens},
		})
	}
	return h
}

// Reasons why somebody is not let in.
var (
	errNoCredentials = errors.New("this takes a token (http.tokens) or a client certificate (http.certificates); the control socket takes neither")
	errWrongToken    = errors.New("the token is wrong")
	errWrongScheme   = errors.New("the header Authorization must say Bearer and a token")
	errNobody        = errors.New("the client's certificate is nobody's here (http.certificates)")
)

// identify returns who sent a request. A token counts before a certificate: who
// sends a wrong one is not let in.
func (h *hashed) identify(r *http.Request) (Principal, error) {
	if auth := r.Header.Values("Authorization"); len(auth) > 0 {
		scheme, token, _ := strings.Cut(auth[0], " ")
		if len(auth) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return Principal{}, errWrongScheme
		}
		return h.byToken(token)
	}
	// crypto/tls has verified what there is a chain of.
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return h.byCertificate(r.TLS.VerifiedChains[0][0])
	}
	return Principal{}, errNoCredentials
}

// byToken takes as long for a wrong token as for a right one: hashes are compared,
// and all of them.
func (h *hashed) byToken(token string) (Principal, error) {
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range h.tokens {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], h.tokens[i].sum[:]), i, found)
	}
	if found < 0 {
		return Principal{}, errWrongToken
	}
	return h.tokens[found].who, nil
}

// byCertificate finds the first entry that the certificate carries the name of.
func (h *hashed) byCertificate(cert *x509.Certificate) (Principal, error) {
	names := append([]string{cert.Subject.CommonName}, cert.DNSNames...)
	names = append(names, cert.EmailAddresses...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, c := range h.certificates {
		if slices.Contains(names, c.Name) {
			return Principal{Kind: KindCertificate, Name: c.Name, Role: c.Role}, nil
		}
	}
	return Principal{}, errNobody
}
