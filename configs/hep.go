package configs

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// HEP says where copies of SIP messages go, for a collector such as Homer.
type HEP struct {
	// Addr is host:port of the collector; empty sends none.
	Addr      string       `yaml:"addr"`
	Transport HEPTransport `yaml:"transport"`
	// CaptureID is this server's number at the collector.
	CaptureID uint32 `yaml:"capture_id" range:"0..4294967295"`
	// Password lets the collector believe this server; it comes from the file or the
	// environment.
	Password     Secret     `yaml:"password"`
	PasswordFile SecretFile `yaml:"password_file"`
	// Redact takes the secrets out of what is sent.
	Redact bool `yaml:"redact"`
}

// HEPTransport is how a collector is reached.
type HEPTransport string

// The transports to collectors.
const (
	HEPOverUDP HEPTransport = "udp"
	HEPOverTCP HEPTransport = "tcp"
)

func (HEPTransport) values() []string { return []string{string(HEPOverUDP), string(HEPOverTCP)} }

func defaultHEP() HEP { return HEP{Transport: HEPOverUDP, CaptureID: 2001, Redact: true} }

func (l *loader) checkHEP(h *HEP) {
	l.checkSecretPair("hep.password", h.PasswordFile, &h.Password)
	if h.Addr == "" {
		return
	}
	host, port, err := net.SplitHostPort(h.Addr)
	if n, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || n == 0 || !validHost(host) && !isAddr(host) {
		l.errorAt("hep.addr", fmt.Sprintf("%q is no host:port", h.Addr), "write homer.example.com:9060")
		return
	}
	if !h.Redact && !onThisMachine("http://"+h.Addr) {
		l.warnAt("hep.redact", "is off: push tokens and what proves passwords leave this machine in the clear", "")
	}
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
