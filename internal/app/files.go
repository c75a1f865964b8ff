package app

import (
	"crypto/x509"
	"errors"
	"os"

	"reveille/configs"
)

// readOptional reads a file that need not be named.
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
	return trimmed(b), nil
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
