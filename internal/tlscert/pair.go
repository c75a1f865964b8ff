package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// A Fault is what is wrong with a file, and what can be done.
type Fault struct {
	// File is the path as configured.
	File string
	// What is the rest of a sentence that starts with the file; Mend is advice, or
	// empty.
	What, Mend string
}

// Error implements error.
func (f *Fault) Error() string {
	s := f.File + " " + f.What
	if f.Mend != "" {
		s += "; " + f.Mend
	}
	return s
}

// A Pair are the files of a certificate and its key, both PEM. The certificate
// comes first in its file, those of the authorities between it and the root
// follow. Without KeyFile the key is in CertFile too.
type Pair struct{ CertFile, KeyFile string }

// Load reads a pair. Its errors are Faults. It does not look at the time.
func (p Pair) Load() (tls.Certificate, error) {
	cert, err := read(p.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if len(blocks(cert, isCertificate)) == 0 {
		return tls.Certificate{}, &Fault{File: p.CertFile, What: "holds no PEM certificate"}
	}
	key, keyFile := cert, p.CertFile
	if p.KeyFile != "" {
		keyFile = p.KeyFile
		if key, err = read(keyFile); err != nil {
			return tls.Certificate{}, err
		}
	}
	if err := checkKey(keyFile, key); err != nil {
		return tls.Certificate{}, err
	}
	c, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return c, nil
	case strings.Contains(err.Error(), "private key does not match"), strings.Contains(err.Error(), "private key type does not match"):
		return c, &Fault{
			File: keyFile, What: "is not the key of the certificate in " + p.CertFile,
			Mend: "name the key that the certificate was requested with; in the file of certificates the server's own comes first",
		}
	}
	return c, &Fault{File: p.CertFile, What: fmt.Sprintf("cannot be used with %s: %v", keyFile, err)}
}

// checkKey looks for a key that needs no passphrase.
func checkKey(file string, data []byte) error {
	keys := blocks(data, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") })
	if len(keys) == 0 {
		return &Fault{File: file, What: "holds no PEM private key", Mend: "name the file that does"}
	}
	if b := keys[0]; b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
		return &Fault{File: file, What: "is encrypted with a passphrase", Mend: "write it out without: openssl pkey -in " + file + " -out NEW"}
	}
	return nil
}

// LoadPool reads the certificates of authorities, all in one PEM file. Its errors
// are Faults.
func LoadPool(file string) (*x509.CertPool, error) {
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	list := blocks(data, isCertificate)
	if len(list) == 0 {
		return nil, &Fault{File: file, What: "holds no PEM certificate"}
	}
	for _, b := range list {
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, &Fault{File: file, What: "holds a damaged certificate"}
		}
		pool.AddCert(cert)
	}
	return pool, nil
}

func isCertificate(b *pem.Block) bool { return b.Type == "CERTIFICATE" }

// blocks returns the PEM blocks of data that are wanted.
func blocks(data []byte, wanted func(*pem.Block) bool) []*pem.Block {
	var list []*pem.Block
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return list
		}
		if wanted(b) {
			list = append(list, b)
		}
	}
}

// maxFile bounds a file: the authorities of a whole machine take 250 KB.
const maxFile = 4 << 20

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		return nil, &Fault{File: file, What: "is no file of certificates or keys"}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	return data, nil
}

func unreadable(file string, err error) *Fault {
	f := &Fault{File: file}
	if errors.Is(err, fs.ErrPermission) {
		f.Mend = "the user that runs the server must be able to read it"
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // Without the path, which is told anyway.
	}
	f.What = "cannot be read: " + err.Error()
	return f
}
