package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// maxPassword bounds a password in bytes.
const maxPassword = 1 << 10

var errNobodyToAsk = errors.New("standard input is no terminal; hint: give the password with --password-stdin")

// terminalPassword returns a program's readPassword: it asks on the terminal that in
// is, without showing what is typed. A signal ends it, and the terminal shows what is
// typed again.
func terminalPassword(in *os.File, out io.Writer, signals <-chan os.Signal) func(string) (string, error) {
	fd := int(in.Fd()) //nolint:gosec // A descriptor is a small number.
	if !term.IsTerminal(fd) {
		return nil
	}
	return func(question string) (string, error) {
		before, err := term.GetState(fd)
		if err != nil {
			return "", err
		}
		fmt.Fprint(out, question)
		type answer struct {
			text []byte
			err  error
		}
		typed := make(chan answer, 1)
		// The goroutine ends with the line, or with the process.
		go func() {
			text, err := term.ReadPassword(fd)
			typed <- answer{text, err}
		}()
		select {
		case a := <-typed:
			fmt.Fprintln(out)
			return string(a.text), a.err
		case <-signals:
			fmt.Fprintln(out)
			return "", errors.Join(errInterrupted, term.Restore(fd, before))
		}
	}
}

// newPassword asks for a password twice, or reads it from the first line of standard
// input.
func (p program) newPassword(stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(p.stdin(), maxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		password := strings.TrimRight(line, "\r\n")
		return password, checkPassword(password)
	}
	if p.readPassword == nil {
		return "", errNobodyToAsk
	}
	first, err := p.readPassword("Password: ")
	if err == nil {
		err = checkPassword(first)
	}
	if err != nil {
		return "", err
	}
	second, err := p.readPassword("The same again: ")
	if err == nil && second != first {
		err = errors.New("the two are not the same; nothing was changed")
	}
	return first, err
}

// checkPassword reports what phones could not send or nobody can mean.
func checkPassword(s string) error {
	switch {
	case s == "":
		return errors.New("the password is empty; hint: anybody could log in with it")
	case len(s) > maxPassword:
		return fmt.Errorf("the password is longer than %d bytes", maxPassword)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("the password holds control characters or is no UTF-8; hint: phones could not send it")
	}
	return nil
}
