package transport

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/tlscert/certtest"
)

// A tap is a connection that remembers what went through it.
type tap struct {
	net.Conn
	in, out bytes.Buffer
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.in.Write(b[:n])
	return n, err
}

func (t *tap) Write(b []byte) (int, error) {
	t.out.Write(b)
	return t.Conn.Write(b)
}

// A sealer writes records of a TLS 1.2 session with AES-128-GCM in the client's
// name: crypto/tls has no client that renegotiates by itself.
type sealer struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

// newSealer takes the keys of a session from its key log and from what the server
// sent (RFC 5246 §6.3).
func newSealer(t *testing.T, keyLog string, fromServer []byte, seq uint64) *sealer {
	t.Helper()
	fields := strings.Fields(keyLog)
	if len(fields) != 3 || fields[0] != "CLIENT_RANDOM" || len(fromServer) < 43 {
		t.Fatalf("key log %q, %d bytes from the server", keyLog, len(fromServer))
	}
	var client, master []byte
	for i, p := range []*[]byte{&client, &master} {
		var err error
		if *p, err = hex.DecodeString(fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	// A record's header of 5 bytes, a handshake message's of 4, 2 of the version.
	server := fromServer[11:43]
	seed := append(append([]byte("key expansion"), server...), client...)
	keys := expand(master, seed, 40)
	block, err := aes.NewCipher(keys[:16])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &sealer{aead: aead, iv: keys[32:36], seq: seq}
}

// expand is P_SHA256 (RFC 5246 §5).
func expand(secret, seed []byte, n int) []byte {
	mac := func(data ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, d := range data {
			h.Write(d)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// record seals data (RFC 5246 §6.2.3.3, RFC 5288 §3).
func (s *sealer) record(kind byte, data []byte) string {
	explicit := binary.BigEndian.AppendUint64(nil, s.seq)
	s.seq++
	extra := binary.BigEndian.AppendUint16(append(bytes.Clone(explicit), kind, 3, 3), uint16(len(data)))
	sealed := s.aead.Seal(nil, append(bytes.Clone(s.iv), explicit...), data, extra)
	out := binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(explicit)+len(sealed)))
	return string(append(append(out, explicit...), sealed...))
}

// A client that begins another handshake on a connection makes the server work,
// and may hide who sent what came before: it loses the connection.
func TestTLS_RenegotiationIsRefused(t *testing.T) {
	inSecureBubble(t, Options{}, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
		var keyLog strings.Builder
		wire := &tap{Conn: b.raw(b.net.Host("192.0.2.50"))}
		c := tls.Client(wire, &tls.Config{
			ServerName: "sip.example.com", RootCAs: a.Pool(), KeyLogWriter: &keyLog,
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		hello := wire.out.Bytes()
		hello = hello[5 : 5+binary.BigEndian.Uint16(hello[3:])]
		mustWrite(t, c, message(1, ""))
		// The client's Finished and its message were the records 0 and 1.
		s := newSealer(t, keyLog.String(), wire.in.Bytes(), 2)
		mustWrite(t, wire.Conn, s.record(23, []byte(message(2, ""))))
		synctest.Wait()
		if diff := cmp.Diff([]string{message(1, ""), message(2, "")}, b.take()); diff != "" {
			t.Fatal(diff)
		}
		f := b.last()
		mustWrite(t, wire.Conn, s.record(22, hello))
		synctest.Wait()
		if err := b.cause(f); err == nil || !strings.Contains(err.Error(), "unexpected") {
			t.Errorf("after a second hello the connection ended with %v", err)
		}
	})
}
