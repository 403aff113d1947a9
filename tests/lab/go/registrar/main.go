// csi-registrar makes a CSI driver known to a node's kubelet, as upstream's node-driver-registrar does, whose module the
// Go proxy does not have. The driver can't do it itself: the kubelet calls here with the socket's path as the host of its
// requests, which HTTP/2 servers outside Go refuse (kubernetes/kubernetes#109081).
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type server struct {
	registration.UnimplementedRegistrationServer
	name, endpoint string
	done           chan error
}

func (s server) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: s.name, Endpoint: s.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (s server) NotifyRegistrationStatus(_ context.Context, told *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if told.PluginRegistered {
		log.Print("the kubelet knows ", s.name)
	} else {
		// A fresh socket is what makes the kubelet try again.
		s.done <- errors.New("the kubelet does not take " + s.name + ": " + told.Error)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

// wait returns once the driver listens: the kubelet asks it at once, and after a failure only minutes later.
func wait(endpoint string) {
	for {
		connection, err := net.Dial("unix", endpoint)
		if err == nil {
			connection.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func main() {
	name := flag.String("driver-name", "", "name of the driver")
	endpoint := flag.String("csi-address", "", "where the driver listens")
	registry := flag.String("plugin-registration-path", "", "directory that the kubelet watches")
	flag.Parse()
	wait(*endpoint)
	socket := filepath.Join(*registry, *name+"-reg.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	services := grpc.NewServer()
	registration.RegisterRegistrationServer(services, server{name: *name, endpoint: *endpoint, done: done})
	go func() { done <- services.Serve(listener) }()
	log.Fatal(<-done)
}
