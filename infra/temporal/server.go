package main

import (
	"fmt"
	"net"
	"time"

	"go.temporal.io/server/common/authorization"
	clusterconfig "go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	cluster   = "active"
	clusterID = "0b9c8a36-6d0b-4a52-9b39-000000000001"
	datastore = "sqlite"
)

// newServer wires the four services of Temporal into one process. Only the
// frontend's port is fixed; the others take free ports at every start.
func newServer(o options, store *config.SQL) (temporal.Server, error) {
	services := []primitives.ServiceName{primitives.HistoryService, primitives.MatchingService, primitives.WorkerService}
	free, err := freePorts(o.ip, len(services)+1)
	if err != nil {
		return nil, err
	}
	cfg := baseConfig(o, store)
	frontend := config.Service{RPC: config.RPC{GRPCPort: o.port, HTTPPort: free[len(services)], BindOnIP: o.ip}}
	cfg.Services = map[string]config.Service{string(primitives.FrontendService): frontend}
	hosts := map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(address(o.ip, o.port)),
	}
	for i, s := range services {
		cfg.Services[string(s)] = config.Service{RPC: config.RPC{GRPCPort: free[i], BindOnIP: o.ip}}
		hosts[s] = static.SingleLocalHost(address(o.ip, free[i]))
	}
	cfg.ClusterMetadata.ClusterInformation = map[string]clusterconfig.ClusterInformation{cluster: {
		Enabled: true, InitialFailoverVersion: 1, ClusterID: clusterID,
		RPCAddress: address(o.ip, o.port), HTTPAddress: address(o.ip, frontend.RPC.HTTPPort),
	}}

	logger := log.NewZapLogger(log.BuildZapLogger(log.Config{Level: o.logLevel, Stdout: false}))
	authorizer, err := authorization.GetAuthorizerFromConfig(&cfg.Global.Authorization)
	if err != nil {
		return nil, fmt.Errorf("authorizer: %w", err)
	}
	claims, err := authorization.GetClaimMapperFromConfig(&cfg.Global.Authorization, logger)
	if err != nil {
		return nil, fmt.Errorf("claim mapper: %w", err)
	}
	return temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(settings()),
	)
}

func baseConfig(o options, store *config.SQL) *config.Config {
	cfg := &config.Config{}
	cfg.Global.Membership.MaxJoinDuration = 30 * time.Second
	cfg.Global.Membership.BroadcastAddress = o.ip
	if o.metrics != 0 {
		cfg.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{
			ListenAddress: address(o.ip, o.metrics), HandlerPath: "/metrics",
		}}
	}
	cfg.Persistence = config.Persistence{
		DefaultStore: datastore, VisibilityStore: datastore, NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{datastore: {SQL: store}},
	}
	cfg.ClusterMetadata = &clusterconfig.Config{
		FailoverVersionIncrement: 10, MasterClusterName: cluster, CurrentClusterName: cluster,
	}
	cfg.DCRedirectionPolicy.Policy = "noop"
	cfg.Archival.History.State, cfg.Archival.Visibility.State = "disabled", "disabled"
	cfg.NamespaceDefaults.Archival.History.State, cfg.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	cfg.PublicClient.HostPort = address(o.ip, o.port)
	return cfg
}

// settings are the dynamic settings in which one node serves best: one
// partition a task queue, priorities and fairness on, search attributes visible
// as soon as they are registered.
func settings() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key():                 8096,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():           1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key():          1,
		dynamicconfig.MatchingUseNewMatcher.Key():                        true,
		dynamicconfig.MatchingEnableFairness.Key():                       true,
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key():      true,
	}
}

func address(ip string, port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

// freePorts returns n different ports that nobody listens on just now.
func freePorts(ip string, n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", address(ip, 0))
		if err != nil {
			return nil, fmt.Errorf("find a free port on %s: %w", ip, err)
		}
		defer l.Close() // all are held until the last is found
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
