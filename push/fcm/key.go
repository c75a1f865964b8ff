package fcm

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// checkKey refuses at load what would fail at the first push.
func checkKey(b []byte) error {
	block, _ := pem.Decode(b)
	if block == nil {
		return errors.New("fcm: private key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return errors.New("fcm: private key unreadable")
		}
		return nil
	}
	if _, ok := key.(*rsa.PrivateKey); !ok {
		return errors.New("fcm: private key is not RSA")
	}
	return nil
}
