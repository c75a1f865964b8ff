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
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"reveille/configs"
	"reveille/push"
	"reveille/push/apns"
	"reveille/push/fcm"
	"reveille/push/webhook"
	"reveille/push/webpush"
)

// senders are the push credentials of a configuration.
type senders struct {
	list []sender
}

// A sender is one app's credential. mark is a hash of everything it was made
// from, so that a reload keeps those that did not change, and with them their
// connections and what APNs has seen of their tokens.
type sender struct {
	app  push.App
	mark [sha256.Size]byte
}

func (s *senders) apps() []push.App {
	apps := make([]push.App, len(s.list))
	for i := range s.list {
		apps[i] = s.list[i].app
	}
	return apps
}

func (s *senders) close() error {
	var errs []error
	for _, x := range s.list {
		errs = append(errs, x.app.Sender.Close())
	}
	return errors.Join(errs...)
}

// newSenders reads all credentials. Those that are as in old are taken over. If
// one fails, what was made is closed again.
func newSenders(ctx context.Context, cfg configs.Push, old *senders) (_ *senders, err error) {
	s := &senders{}
	var made []push.Sender
	defer func() {
		if err != nil {
			for _, m := range made {
				err = errors.Join(err, m.Close())
			}
		}
	}()
	if !cfg.Enabled {
		return s, nil
	}
	for _, app := range cfg.Apps {
		files, err := readCredential(app)
		if err != nil {
			return nil, fmt.Errorf("push.apps[%s]: %w", app.Name, err)
		}
		x := sender{mark: mark(app, files), app: push.App{
			Name: app.Name, Provider: app.Provider, ParamPattern: app.Param, QueueLen: app.Queue, InFlight: app.InFlight,
		}}
		if x.app.Provider == "" {
			x.app.Provider = app.Type()
		}
		if kept := old.find(app.Name, x.mark); kept != nil {
			x.app.Sender = kept
		} else {
			if x.app.Sender, err = newSender(ctx, app, files); err != nil {
				return nil, fmt.Errorf("push.apps[%s]: %w", app.Name, err)
			}
			made = append(made, x.app.Sender)
		}
		s.list = append(s.list, x)
	}
	return s, nil
}

func (s *senders) find(name string, m [sha256.Size]byte) push.Sender {
	if s == nil {
		return nil
	}
	for _, x := range s.list {
		if x.app.Name == name && x.mark == m {
			return x.app.Sender
		}
	}
	return nil
}

// credential holds the contents of an app's files.
type credential struct {
	key, cert, ca, secret []byte
}

func readCredential(app configs.App) (c credential, err error) {
	var ca configs.CertFile
	switch {
	case app.APNs != nil:
		c.key, err = readOptional(string(app.APNs.KeyFile))
		if err == nil {
			c.cert, err = readOptional(string(app.APNs.CertFile))
		}
		ca = app.APNs.CAFile
	case app.FCM != nil:
		c.key, err = readOptional(string(app.FCM.ServiceAccountFile))
		ca = app.FCM.CAFile
	case app.WebPush != nil:
		c.key, err = readOptional(string(app.WebPush.VAPIDKeyFile))
		ca = app.WebPush.CAFile
	case app.Webhook != nil:
		c.secret = []byte(app.Webhook.Secret.Reveal())
		if app.Webhook.SecretFile != "" {
			c.secret, err = readSecret(app.Webhook.SecretFile)
		}
		ca = app.Webhook.CAFile
	default:
		return c, errNoCredential
	}
	if err == nil {
		c.ca, err = readOptional(string(ca))
	}
	return c, err
}

func mark(app configs.App, c credential) [sha256.Size]byte {
	h := sha256.New()
	// Queue and in-flight bounds may change without a new credential.
	app.Queue, app.InFlight, app.Param, app.Provider = 0, 0, "", ""
	fmt.Fprintf(h, "%+v %+v %+v %+v\n", app.APNs, app.FCM, app.WebPush, app.Webhook)
	for _, b := range [...][]byte{c.key, c.cert, c.ca, c.secret} {
		sum := sha256.Sum256(b)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func newSender(ctx context.Context, app configs.App, c credential) (push.Sender, error) {
	roots, err := rootCAs(c.ca)
	if err != nil {
		return nil, err
	}
	switch {
	case app.APNs != nil:
		return newAPNs(app.APNs, c, roots)
	case app.FCM != nil:
		return fcm.New(ctx, fcm.Options{ServiceAccountJSON: c.key, ProjectID: app.FCM.Project, Endpoint: app.FCM.Endpoint, RootCAs: roots})
	case app.WebPush != nil:
		public, private, err := vapidKeys(c.key)
		if err != nil {
			return nil, err
		}
		return webpush.New(webpush.Options{
			VAPIDPublic: public, VAPIDPrivate: private, Subscriber: app.WebPush.Subscriber,
			AllowedHosts: app.WebPush.AllowedHosts, AllowPrivate: app.WebPush.AllowPrivate, RootCAs: roots,
		})
	default:
		return webhook.New(webhook.Options{URL: app.Webhook.URL, Body: app.Webhook.Body, Secret: c.secret, RootCAs: roots})
	}
}

func newAPNs(a *configs.APNs, c credential, roots *x509.CertPool) (push.Sender, error) {
	o := apns.Options{KeyID: a.KeyID, TeamID: a.TeamID, KeyP8: c.key, Host: a.Host, RootCAs: roots}
	if o.Host == "" && a.Environment == configs.Sandbox {
		o.Host = apns.Sandbox
	}
	if len(c.cert) > 0 {
		var err error
		if o.Certificate, err = tls.X509KeyPair(c.cert, c.cert); err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
	}
	return apns.New(o)
}

// rootCAs returns the pool of a ca_file in addition to the system's, nil if
// there is none.
func rootCAs(ca []byte) (*x509.CertPool, error) {
	if len(ca) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("ca_file: no certificate in it")
	}
	return pool, nil
}

// vapidKeys reads a P-256 key in PEM (SEC 1 or PKCS #8) and returns the pair as
// RFC 8292 writes it.
func vapidKeys(b []byte) (public, private string, err error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return "", "", errors.New("vapid_key_file: no PEM block in it")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		any, perr := x509.ParsePKCS8PrivateKey(block.Bytes)
		if perr != nil {
			return "", "", fmt.Errorf("vapid_key_file: %w", err)
		}
		var ok bool
		if key, ok = any.(*ecdsa.PrivateKey); !ok {
			return "", "", errors.New("vapid_key_file: no EC key")
		}
	}
	if key.Curve != elliptic.P256() {
		return "", "", errors.New("vapid_key_file: the curve is not P-256")
	}
	pair, err := key.ECDH()
	if err != nil {
		return "", "", fmt.Errorf("vapid_key_file: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(pair.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(pair.Bytes()), nil
}

func readOptional(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return os.ReadFile(path)
}

// readSecret reads a secret from a file; a line end behind it does not count.
func readSecret(path configs.SecretFile) ([]byte, error) {
	b, err := os.ReadFile(string(path))
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(b, "\r\n"), nil
}
