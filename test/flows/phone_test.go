package flows

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience is how long a message is waited for; nothing waits so long unless a
// flow fails.
const patience = time.Minute

// A phone is a socket that speaks as its flow says.
type phone struct {
	name, transport string
	conns           int // so far
	conn            net.Conn
	r               *bufio.Reader
	seen            map[string]bool // datagrams
}

// bound is a UDP socket that has an address before the server has one.
type bound struct {
	*net.UDPConn
	server net.Addr
}

func (b *bound) Write(p []byte) (int, error) { return b.WriteTo(p, b.server) }

// bind gives a phone that speaks UDP its address.
func (p *phone) bind(v values) error {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	p.conn, p.seen = &bound{UDPConn: c}, map[string]bool{}
	p.know(v)
	return nil
}

// wake connects from a new port.
func (p *phone) wake(v values) (err error) {
	if p.conn, err = net.Dial("tcp", v["tcp"]); err != nil {
		return err
	}
	p.r = bufio.NewReaderSize(p.conn, 1<<16)
	p.know(v)
	return nil
}

// know tells the flow the address of p.
func (p *phone) know(v values) {
	p.conns++
	addr := p.conn.LocalAddr().String()
	_, port, _ := net.SplitHostPort(addr)
	v[p.name], v[p.name+".port"] = addr, port
	v[fmt.Sprintf("%s.%d", p.name, p.conns)], v[fmt.Sprintf("%s.%d.port", p.name, p.conns)] = addr, port
}

// sleep ends the connection and returns when the server has ended it, too.
func (p *phone) sleep() error {
	tcp, ok := p.conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%s has no connection that could end", p.name)
	}
	defer tcp.Close()
	if err := tcp.CloseWrite(); err != nil {
		return err
	}
	if err := tcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	rest, err := io.ReadAll(p.r)
	if err == nil && len(rest) > 0 {
		return fmt.Errorf("%s received before it slept:\n%s", p.name, rest)
	}
	p.conn = nil
	return err
}

func (p *phone) send(message string) error {
	_, err := io.WriteString(p.conn, message)
	return err
}

// receive returns the next message. A datagram that is the same as one before is
// a retransmission, as a slow machine may make them, and is passed over.
func (p *phone) receive() (string, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if p.transport == "tcp" {
		return p.frame()
	}
	b := make([]byte, 1<<16)
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			return "", err
		}
		if m := string(b[:n]); !p.seen[m] {
			p.seen[m] = true
			return m, nil
		}
	}
}

// frame reads a message from a stream.
func (p *phone) frame() (string, error) {
	var head strings.Builder
	length := 0
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("%w after %q", err, head.String())
		}
		head.WriteString(line)
		if name, value, ok := strings.Cut(line, ":"); ok && name == "Content-Length" {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return "", err
			}
		}
		if line == "\r\n" {
			break
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(p.r, body)
	return head.String() + string(body), err
}
