package purr

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A keyring file holds one key a line, newest first:
//
//	id (4 hexadecimal digits), creation time (RFC 3339), secret (base64, 32 bytes)
//
// separated by white space. Empty lines and lines that start with '#' are
// comments; they are not kept.
const fileHeader = "# Token keys. Who reads this file can forge PURRs and Record-Route tokens.\n" +
	"# id, created, secret; the newest key seals, all keys open.\n"

// ErrPermissions is returned by Load for a file that everybody may read.
var ErrPermissions = errors.New("keyring file is open to all users")

// Load reads the keyring file at path. If there is none, it makes one with a
// single new key, readable by its owner only. Two processes that do so at the
// same time end up with the same key.
func Load(path string, now time.Time) (*Keyring, error) {
	keys, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path, []Key{NewKey(now)}); err != nil {
			return nil, fmt.Errorf("create keyring %s: %w", path, err)
		}
		keys, err = readFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load keyring: %w", err)
	}
	ring, err := New(keys)
	if err != nil {
		return nil, fmt.Errorf("load keyring %s: %w", path, err)
	}
	return ring, nil
}

// Save writes keys to path, readable by the owner only. The file is replaced at
// one stroke: after a crash it is the old or the new one.
func Save(path string, keys []Key) error {
	tmp, err := writeTemp(path, keys)
	if err != nil {
		return fmt.Errorf("save keyring %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("save keyring %s: %w", path, err), os.Remove(tmp))
	}
	if err := syncDir(path); err != nil {
		return fmt.Errorf("save keyring %s: %w", path, err)
	}
	return nil
}

// create is Save for a file that must not exist. One that appeared meanwhile
// stays, and that is no error.
func create(path string, keys []Key) error {
	tmp, err := writeTemp(path, keys)
	if err != nil {
		return err
	}
	if err = os.Link(tmp, path); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(tmp), syncDir(path))
}

func readFile(path string) ([]Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s: %w (mode %04o): chmod 600", path, ErrPermissions, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return keys, nil
}

// writeTemp writes keys to a new file beside path, on disk when it returns.
func writeTemp(path string, keys []Key) (name string, err error) {
	// CreateTemp makes the file with mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(appendKeys(nil, keys))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes a rename or link in the directory of path durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func appendKeys(b []byte, keys []Key) []byte {
	b = append(b, fileHeader...)
	for _, k := range keys {
		b = fmt.Appendf(b, "%04x %s %s\n", k.ID, k.Created.UTC().Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.Secret[:]))
	}
	return b
}

// parseKeys reads the text of a keyring file. Its errors begin with the line
// number and never quote a secret.
func parseKeys(text []byte) ([]Key, error) {
	var keys []Key
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("1: %w", err)
	}
	return keys, nil
}

func parseKey(line string) (Key, error) {
	var k Key
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return k, fmt.Errorf("%d fields, want 3: id, created, secret", len(fields))
	}
	id, err := strconv.ParseUint(fields[0], 16, 16)
	if err != nil || len(fields[0]) != 4 {
		return k, errors.New("id: want 4 hexadecimal digits")
	}
	k.ID = uint16(id)
	if k.Created, err = time.Parse(time.RFC3339, fields[1]); err != nil {
		return k, errors.New("created: want a time as 2006-01-02T15:04:05Z")
	}
	// UTC may move a time out of the four digits that a year has.
	if k.Created = k.Created.UTC(); k.Created.Year() < 1970 || k.Created.Year() > 9999 {
		return k, errors.New("created: want a year from 1970 to 9999")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil || len(secret) != len(k.Secret) {
		return k, errors.New("secret: want 32 bytes in base64")
	}
	copy(k.Secret[:], secret)
	return k, nil
}
