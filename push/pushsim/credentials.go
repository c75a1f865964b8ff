package pushsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// The names in the credentials.
//
// They look like those of Apple and Google, so that what reads them is tested.
const (
	TeamID      = "DEMOTEAM00"
	KeyID       = "DEMOKEY000"
	BundleID    = "com.example.phone"
	ProjectID   = "demo-project"
	Subscriber  = "push@example.com"
	clientEmail = "push@demo-project.iam.gserviceaccount.com"
	keyIDGoogle = "demo-key"
)

// Credentials are all keys of the pretend services: the CA, and what a pusher
// authenticates with.
type Credentials struct {
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	apple *ecdsa.PrivateKey
	fcm   *rsa.PrivateKey
	vapid *ecdsa.PrivateKey
	// Secret signs webhooks; it is text.
	Secret []byte
}

// NewCredentials makes new keys.
func NewCredentials() (*Credentials, error) {
	c, err := keysOfOurs()
	if err != nil {
		return nil, err
	}
	if c.fcm, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return c, nil
}

// keysOfOurs makes all but Google's key, which takes a while.
func keysOfOurs() (*Credentials, error) {
	c := &Credentials{Secret: []byte(rand.Text())}
	var err error
	for _, k := range []**ecdsa.PrivateKey{&c.caKey, &c.apple, &c.vapid} {
		if *k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("generate key: %w", err)
		}
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Pretend push services CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, c.caKey.Public(), c.caKey)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	if c.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	return c, nil
}

// serial is random, so that browsers do not see two certificates as one.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// sign makes a certificate of the CA.
func (c *Credentials) sign(tmpl *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("generate key: %w", err)
	}
	tmpl.SerialNumber = serial()
	// An hour back, for machines whose clocks differ.
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 3, 0)
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.ca, key.Public(), c.caKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// leaf is the certificate of the server.
func (c *Credentials) leaf(addr net.Addr) (tls.Certificate, error) {
	tmpl := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Pretend push services"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if a, ok := addr.(*net.TCPAddr); ok && !a.IP.IsUnspecified() {
		tmpl.IPAddresses = append(tmpl.IPAddresses, a.IP)
	}
	return c.sign(tmpl)
}

// APNsCertificate is for the older way to authenticate to APNs.
func (c *Credentials) APNsCertificate() (tls.Certificate, error) {
	return c.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "Apple Push Services: " + BundleID},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// RootCAs has the CA.
func (c *Credentials) RootCAs() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.ca)
	return p
}

// CAPEM is the CA in PEM.
func (c *Credentials) CAPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.Raw})
}

// KeyP8 is the content of a .p8 file for KeyID and TeamID.
func (c *Credentials) KeyP8() []byte { return pkcs8(c.apple) }

// VAPIDPublic and VAPIDPrivate are a key pair in base64url.
func (c *Credentials) VAPIDPublic() string {
	k, err := c.vapid.PublicKey.ECDH()
	if err != nil {
		return "" // of P-256 by construction
	}
	return base64.RawURLEncoding.EncodeToString(k.Bytes())
}

// VAPIDPrivate is the other half.
func (c *Credentials) VAPIDPrivate() string {
	k, err := c.vapid.ECDH()
	if err != nil {
		return "" // of P-256 by construction
	}
	return base64.RawURLEncoding.EncodeToString(k.Bytes())
}

// VAPIDKeyPEM is the pair as a PEM file.
func (c *Credentials) VAPIDKeyPEM() []byte { return pkcs8(c.vapid) }

// serviceAccountJSON is a Google key file.
func (c *Credentials) serviceAccountJSON(tokenURL string) []byte {
	b, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": ProjectID, "private_key_id": keyIDGoogle,
		"private_key": string(pkcs8(c.fcm)), "client_email": clientEmail, "client_id": "1",
		"token_uri": tokenURL,
	}, "", "  ")
	if err != nil {
		return nil // strings always encode
	}
	return append(b, '\n')
}

func pkcs8(key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil // both kinds of key always encode
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Encode writes the credentials as PEM, for LoadCredentials.
func (c *Credentials) Encode() []byte {
	out := c.CAPEM()
	for _, k := range []any{c.caKey, c.apple, c.vapid, c.fcm} {
		out = append(out, pkcs8(k)...)
	}
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "WEBHOOK SECRET", Bytes: c.Secret})...)
}

// LoadCredentials reads what Encode wrote, so that a restarted server knows the
// credentials that it once gave out.
func LoadCredentials(b []byte) (*Credentials, error) {
	c := new(Credentials)
	ec := []**ecdsa.PrivateKey{&c.caKey, &c.apple, &c.vapid}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read CA: %w", err)
			}
			c.ca = cert
		case "WEBHOOK SECRET":
			c.Secret = block.Bytes
		default:
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read key: %w", err)
			}
			switch k := key.(type) {
			case *rsa.PrivateKey:
				c.fcm = k
			case *ecdsa.PrivateKey: // in the order that Encode writes
				if len(ec) > 0 {
					*ec[0], ec = k, ec[1:]
				}
			}
		}
	}
	if c.ca == nil || len(ec) > 0 || c.fcm == nil || c.Secret == nil {
		return nil, errors.New("read credentials: incomplete")
	}
	return c, nil
}
