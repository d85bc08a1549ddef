package handshake

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"
)

// shake runs a TLS handshake and one byte over loopback and returns the errors of both ends.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	done := make(chan error, 1)
	go func() { done <- answerOnce(lis, server) }()
	conn, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, clientErr = tls.Client(conn, client).Write([]byte("x"))
	if clientErr != nil {
		conn.Close()
	}
	return clientErr, <-done
}

func answerOnce(lis net.Listener, server *tls.Config) error {
	conn, err := lis.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err = tls.Server(conn, server).Read(make([]byte, 1))
	return err
}

func mustCredentials(t *testing.T) (*tls.Config, *tls.Config) {
	t.Helper()
	c, err := NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := PluginTLS(bytes.TrimSpace(c.PluginLine))
	if err != nil {
		t.Fatalf("the line that the agent writes must be readable by the plugin: %v", err)
	}
	return c.Agent, plugin
}

func TestCredentialsConnectOneAgentToOnePlugin(t *testing.T) {
	agent, plugin := mustCredentials(t)
	otherAgent, otherPlugin := mustCredentials(t)
	if clientErr, serverErr := shake(t, agent, plugin); clientErr != nil || serverErr != nil {
		t.Fatalf("the two ends of one pair must connect: agent %v, plugin %v", clientErr, serverErr)
	}
	if _, serverErr := shake(t, otherAgent, plugin); serverErr == nil {
		t.Error("a plugin let in an agent that did not start it")
	}
	if clientErr, _ := shake(t, agent, otherPlugin); clientErr == nil {
		t.Error("an agent talked to a plugin that it did not start")
	}
	anonymous := agent.Clone()
	anonymous.Certificates = nil
	if _, serverErr := shake(t, anonymous, plugin); serverErr == nil {
		t.Error("a plugin let in a client without a certificate")
	}
}

func TestPluginTLSRefusesDamagedLines(t *testing.T) {
	for name, line := range map[string]string{
		"empty":         "",
		"not base64":    "?secret?",
		"no PEM":        "c2VjcmV0",
		"one PEM block": "LS0tLS1CRUdJTiBYLS0tLS0KLS0tLS1FTkQgWC0tLS0tCg==",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := PluginTLS([]byte(line))
			if err == nil {
				t.Fatal("a damaged line was accepted")
			}
			if line != "" && strings.Contains(err.Error(), line) {
				t.Errorf("the error repeats the line, which may hold a key: %v", err)
			}
		})
	}
}
