package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"

	"software.sslmate.com/src/go-pkcs12"

	"reveille/configs"
	"reveille/internal/tlscert"
	"reveille/push"
	"reveille/push/apns"
	"reveille/push/fcm"
	"reveille/push/webhook"
	"reveille/push/webpush"
)

// A credential is what an app's files hold.
type credential struct {
	files []credentialFile
}

// A credentialFile is one of an app's files. key is the configuration's name for
// it.
type credentialFile struct {
	key, path string
	content   []byte
}

// credentialFiles names the files of an app.
func credentialFiles(app configs.App) []credentialFile {
	var fs []credentialFile
	add := func(key, path string) {
		if path != "" {
			fs = append(fs, credentialFile{key: key, path: path})
		}
	}
	switch {
	case app.APNs != nil:
		add("apns.key_file", string(app.APNs.KeyFile))
		add("apns.cert_file", string(app.APNs.CertFile))
		add("apns.p12_file", string(app.APNs.P12File))
		add("apns.p12_password_file", string(app.APNs.P12PasswordFile))
		add("apns.ca_file", string(app.APNs.CAFile))
	case app.FCM != nil:
		add("fcm.service_account_file", string(app.FCM.ServiceAccountFile))
		add("fcm.ca_file", string(app.FCM.CAFile))
	case app.WebPush != nil:
		add("webpush.vapid_key_file", string(app.WebPush.VAPIDKeyFile))
		for i, file := range app.WebPush.OldVAPIDKeyFiles {
			add(fmt.Sprintf("webpush.old_vapid_key_files[%d]", i), string(file))
		}
		add("webpush.ca_file", string(app.WebPush.CAFile))
	case app.Webhook != nil:
		add("webhook.secret_file", string(app.Webhook.SecretFile))
		add("webhook.ca_file", string(app.Webhook.CAFile))
	}
	return fs
}

// readCredential reads the files of an app. Its errors are faults.
func readCredential(app configs.App) (credential, error) {
	c := credential{files: credentialFiles(app)}
	for i := range c.files {
		f := &c.files[i]
		var err error
		if f.content, err = os.ReadFile(f.path); err != nil {
			return c, f.fault("cannot be read: "+unwrapped(err), "")
		}
	}
	return c, nil
}

// unwrapped is an error of the file system without the path, which is told
// anyway.
func unwrapped(err error) string {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err
	}
	return err.Error()
}

// file returns the file of a key; its content is nil if there is none.
func (c credential) file(key string) credentialFile {
	if i := slices.IndexFunc(c.files, func(f credentialFile) bool { return f.key == key }); i >= 0 {
		return c.files[i]
	}
	return credentialFile{key: key}
}

// fault says what is wrong with f and, unless empty, how to mend it.
func (f credentialFile) fault(what, mend string) error {
	return fmt.Errorf("%s: %w", f.key, &tlscert.Fault{File: f.path, What: what, Mend: mend})
}

// mark is a hash of everything that a Sender is made of.
func (c credential) mark(app configs.App) [sha256.Size]byte {
	h := sha256.New()
	// Not of how much is sent and for whom: that may change without a new
	// credential.
	fmt.Fprintf(h, "%+v %+v %+v %+v\n", app.APNs, app.FCM, app.WebPush, app.Webhook)
	// Secrets of the configuration itself are not printed.
	for _, secret := range inlineSecrets(app) {
		fmt.Fprintf(h, "%d %s\n", len(secret), secret)
	}
	for _, f := range c.files {
		sum := sha256.Sum256(f.content)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// inlineSecrets are those that stand in the configuration.
func inlineSecrets(app configs.App) []string {
	switch {
	case app.APNs != nil:
		return []string{app.APNs.P12Password.Reveal()}
	case app.Webhook != nil:
		return []string{app.Webhook.Secret.Reveal()}
	}
	return nil
}

// newSender makes the Sender of an app. Its errors are faults of the files, or
// say what else is wrong. tokens are those that other Senders hold.
func newSender(ctx context.Context, app configs.App, c credential, tokens []*apns.Token) (push.Sender, error) {
	roots, err := c.roots(app.Type() + ".ca_file")
	if err != nil {
		return nil, err
	}
	switch {
	case app.APNs != nil:
		return newAPNs(app.APNs, c, roots, tokens)
	case app.FCM != nil:
		f := c.file("fcm.service_account_file")
		if err := checkServiceAccount(f); err != nil {
			return nil, err
		}
		return fcm.New(ctx, fcm.Options{
			ServiceAccountJSON: f.content, ProjectID: app.FCM.Project, Endpoint: app.FCM.Endpoint, RootCAs: roots, Template: app.FCM.Template,
		})
	case app.WebPush != nil:
		return newWebPush(app.WebPush, c, roots)
	case app.Webhook != nil:
		o := webhook.Options{URL: app.Webhook.URL, Body: app.Webhook.Body, Secret: []byte(app.Webhook.Secret.Reveal()), RootCAs: roots}
		if f := c.file("webhook.secret_file"); f.path != "" {
			o.Secret = trimmed(f.content)
		}
		return webhook.New(o)
	case app.Event != nil:
		return &handover{app: app.Name}, nil
	}
	return nil, errNoCredential
}

func newAPNs(a *configs.APNs, c credential, roots *x509.CertPool, tokens []*apns.Token) (push.Sender, error) {
	o := apns.Options{
		Host: a.Host, RootCAs: roots, Template: a.Template,
		Alerts: map[push.Kind]string{push.Call: a.Alerts.Call, push.Message: a.Alerts.Message},
	}
	if o.Host == "" && a.Environment == configs.Sandbox {
		o.Host = apns.Sandbox
	}
	if f := c.file("apns.key_file"); f.path != "" {
		if err := checkP8(f); err != nil {
			return nil, err
		}
		// APNs counts how often a key has a new token.
		if i := slices.IndexFunc(tokens, func(t *apns.Token) bool { return t.Is(f.content, a.KeyID, a.TeamID) }); i >= 0 {
			o.Token = tokens[i]
		} else {
			o.KeyP8, o.KeyID, o.TeamID = f.content, a.KeyID, a.TeamID
		}
		return apns.New(o)
	}
	var err error
	if o.Certificate, err = apnsCertificate(a, c); err != nil {
		return nil, err
	}
	return apns.New(o)
}

// apnsCertificate reads the certificate of an app that has one, with its leaf.
func apnsCertificate(a *configs.APNs, c credential) (tls.Certificate, error) {
	if f := c.file("apns.cert_file"); f.path != "" {
		cert, err := tlscert.Pair{CertFile: f.path}.Load()
		if err != nil {
			return cert, fmt.Errorf("%s: %w", f.key, err)
		}
		return cert, nil
	}
	f := c.file("apns.p12_file")
	password := a.P12Password.Reveal()
	if p := c.file("apns.p12_password_file"); p.path != "" {
		password = string(trimmed(p.content))
	}
	key, leaf, chain, err := pkcs12.DecodeChain(f.content, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return tls.Certificate{}, f.fault("cannot be opened with p12_password", "write the password that was chosen at the export")
	case err != nil:
		return tls.Certificate{}, f.fault("is no PKCS #12 file with one certificate and its key",
			"in the Keychain, choose the certificate and the key below it, then export both")
	}
	cert := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, ca := range chain {
		cert.Certificate = append(cert.Certificate, ca.Raw)
	}
	return cert, nil
}

func newWebPush(w *configs.WebPush, c credential, roots *x509.CertPool) (push.Sender, error) {
	o := webpush.Options{
		Subscriber: w.Subscriber, AllowedHosts: w.AllowedHosts, AllowPrivate: w.AllowPrivate, RootCAs: roots,
		Payload: w.Payload, Template: w.Template,
	}
	for _, f := range c.files {
		if f.key == "webpush.ca_file" {
			continue
		}
		public, private, err := vapidKeys(f)
		if err != nil {
			return nil, err
		}
		if f.key == "webpush.vapid_key_file" {
			o.VAPIDPublic, o.VAPIDPrivate = public, private
		} else {
			o.OldVAPIDPrivate = append(o.OldVAPIDPrivate, private)
		}
	}
	return webpush.New(o)
}

// roots is the pool of a ca_file in addition to the system's, nil if there is
// none.
func (c credential) roots(key string) (*x509.CertPool, error) {
	f := c.file(key)
	if f.path == "" {
		return nil, nil
	}
	pool, err := rootCAs(f.content)
	if err != nil || pool == nil {
		return nil, f.fault("holds no PEM certificate", "")
	}
	return pool, nil
}

// checkP8 looks for what a token key of Apple's is: PKCS #8 with a key of P-256.
func checkP8(f credentialFile) error {
	const asIs = "name the AuthKey_....p8 as Apple's developer site gave it"
	block, _ := pem.Decode(f.content)
	switch {
	case block == nil:
		return f.fault("holds no PEM block", asIs)
	case block.Type == "CERTIFICATE":
		return f.fault("is a certificate, not a token key", "name it as cert_file, together with its key")
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return f.fault("is encrypted with a passphrase", "write it out without: openssl pkey -in "+f.path+" -out NEW")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if _, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return f.fault("is no PKCS #8 key", "write it out as one: openssl pkcs8 -topk8 -nocrypt -in "+f.path+" -out NEW")
		}
		return f.fault("holds no private key that can be read", asIs)
	}
	if ec, ok := key.(*ecdsa.PrivateKey); !ok || ec.Curve != elliptic.P256() {
		return f.fault("holds a key that is not of the curve P-256: it is none of Apple's", asIs)
	}
	return nil
}

// checkServiceAccount looks for what a service account's key is.
func checkServiceAccount(f credentialFile) error {
	const where = "make one in the Firebase console: project settings, service accounts, generate new private key"
	var a struct {
		Type        string          `json:"type"`
		ProjectInfo json.RawMessage `json:"project_info"`
	}
	switch err := json.Unmarshal(f.content, &a); {
	case err != nil:
		return f.fault("is no JSON", where)
	case a.ProjectInfo != nil:
		return f.fault("is the google-services.json of the app, not the key of a service account", where)
	case a.Type != "service_account":
		return f.fault(fmt.Sprintf("is of type %q, not service_account", a.Type), where)
	}
	return nil
}

// vapidKeys reads a P-256 key in PEM (SEC 1 or PKCS #8) and returns the pair as
// RFC 8292 writes it.
func vapidKeys(f credentialFile) (public, private string, err error) {
	const generate = "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out NEW"
	block, _ := pem.Decode(f.content)
	if block == nil {
		return "", "", f.fault("holds no PEM block", generate)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		any, perr := x509.ParsePKCS8PrivateKey(block.Bytes)
		if perr != nil {
			return "", "", f.fault("holds no private key that can be read", generate)
		}
		key, _ = any.(*ecdsa.PrivateKey)
	}
	if key == nil || key.Curve != elliptic.P256() {
		return "", "", f.fault("holds a key that is not of the curve P-256", generate)
	}
	pair, err := key.ECDH()
	if err != nil {
		return "", "", f.fault("holds a key that is damaged", generate)
	}
	return base64.RawURLEncoding.EncodeToString(pair.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(pair.Bytes()), nil
}

// trimmed is a secret from a file; a line end behind it does not count.
func trimmed(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }
