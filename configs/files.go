package configs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"
)

// expiringSoon is when a certificate is worth a warning.
const expiringSoon = 14 * day

// checkFiles completes and checks the path of every file that the
// configuration names.
func (l *loader) checkFiles(cfg *Config) {
	walk(reflect.ValueOf(cfg).Elem(), "", func(path string, v reflect.Value) {
		switch v.Interface().(type) {
		case SecretFile:
			if l.resolve(path, v) {
				l.checkSecretFile(path, v.String())
			}
		case KeyringFile:
			if l.resolve(path, v) {
				l.checkKeyringFile(path, v.String())
			}
		case Folder:
			if l.resolve(path, v) {
				l.checkFolder(path, v.String())
			}
		case SocketFile:
			if v.String() != NoSocket {
				l.resolve(path, v) // checkControl looks at it.
			}
		case LogFile:
			l.resolve(path, v)
		case CertFile:
			if l.resolve(path, v) {
				l.checkCertFile(path, v.String())
			}
		case ChainFile:
			if l.resolve(path, v) {
				l.checkChainFile(path, v.String())
			}
		}
	})
}

// walk calls fn for every scalar below v.
func walk(v reflect.Value, path string, fn func(path string, v reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), path, fn)
		}
	case isScalar(v.Type()):
		fn(path, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), join(path, v.Type().Field(i).Tag.Get("yaml")), fn)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), fn)
		}
	}
}

// resolve replaces ${NAME} in a path, for credentials that a service manager
// places, and lets a relative path start at the configuration's folder.
func (l *loader) resolve(path string, v reflect.Value) bool {
	if v.String() == "" {
		return false
	}
	ok := true
	file := os.Expand(v.String(), func(name string) string {
		value, found := l.env.Lookup(name)
		if !found {
			ok = false
			l.errorAt(path, fmt.Sprintf("the environment variable %s is not set", name), "")
		}
		return value
	})
	if !filepath.IsAbs(file) {
		file = filepath.Join(l.dir, file)
	}
	v.SetString(file)
	return ok
}

// open reads a file that the configuration names, or complains.
func (l *loader) open(path, file string) ([]byte, bool) {
	data, err := readFile(file)
	if err != nil {
		l.unreadable(path, file, err)
		return nil, false
	}
	return data, true
}

func (l *loader) unreadable(path, file string, err error) {
	hint := ""
	if os.IsPermission(err) {
		hint = "the user that runs the server must be able to read it"
	}
	l.errorAt(path, fmt.Sprintf("%s cannot be read: %s", file, cause(err)), hint)
}

func (l *loader) checkSecretFile(path, file string) {
	// A file with many users is larger than any other; its beginning tells what
	// is asked here.
	data, err := readStart(file)
	if err != nil {
		l.unreadable(path, file, err)
		return
	}
	if len(bytes.TrimSpace(data)) == 0 {
		l.errorAt(path, file+" is empty", "")
	}
	l.checkMode(path, file)
}

// checkKeyringFile takes a file that is not there yet, if its folder is.
func (l *loader) checkKeyringFile(path, file string) {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		l.checkSecretFile(path, file)
		return
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		l.errorAt(path, fmt.Sprintf("%s cannot be made: there is no folder %s", file, filepath.Dir(file)), "")
	}
}

// checkFolder takes a folder that is not there yet, if its parent is.
func (l *loader) checkFolder(path, folder string) {
	info, err := os.Stat(folder)
	switch {
	case err == nil && !info.IsDir():
		l.errorAt(path, folder+" is no folder", "")
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		l.errorAt(path, folder+" cannot be read: "+cause(err), "")
	default:
		if parent, err := os.Stat(filepath.Dir(folder)); err != nil || !parent.IsDir() {
			l.errorAt(path, fmt.Sprintf("%s cannot be made: there is no folder %s", folder, filepath.Dir(folder)), "")
		}
	}
}

// checkMode warns of a secret that every user of the machine can read. It is
// no error because some container platforms mount secrets that way.
func (l *loader) checkMode(path, file string) {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		l.warnAt(path, file+" can be read by everyone on this machine", "chmod o-rwx "+file)
	}
}

func (l *loader) checkCertFile(path, file string) {
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
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			l.checkMode(path, file)
		}
		if block.Type == "CERTIFICATE" {
			found = true
			l.checkCertificate(path, file, block.Bytes)
		}
	}
	if !found {
		l.errorAt(path, file+" holds no PEM certificate", "")
	}
}

func (l *loader) checkCertificate(path, file string, der []byte) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		l.errorAt(path, file+" holds a damaged certificate", "")
		return
	}
	switch {
	case l.env.Now.After(cert.NotAfter):
		// A server that starts all the same serves those who do not need it.
		l.warnAt(path, fmt.Sprintf("%s expired on %s", file, cert.NotAfter.UTC().Format(time.DateOnly)), "replace it: nobody takes it any more")
	case l.env.Now.Before(cert.NotBefore):
		l.errorAt(path, fmt.Sprintf("%s is not valid before %s", file, cert.NotBefore.UTC().Format(time.DateOnly)), "is the clock right?")
	case l.env.Now.Add(expiringSoon).After(cert.NotAfter):
		l.warnAt(path, fmt.Sprintf("%s expires on %s", file, cert.NotAfter.UTC().Format(time.DateOnly)), "replace it soon")
	}
}

// inline reads the secret of a *_file key into the key that it stands for.
func (l *loader) inline(path string, file SecretFile, secret *Secret) {
	if file == "" || l.complained(path) {
		return
	}
	if data, ok := l.open(path, string(file)); ok {
		*secret = Secret(strings.TrimRight(string(data), "\r\n"))
	}
}
