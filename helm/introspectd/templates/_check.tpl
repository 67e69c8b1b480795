{{/* Parts of introspectd.check, by what they are about. */}}

{{/* A key that is twice in one map is taken from one of the two places, and nobody says from which. */}}
{{- define "introspectd.checkLabels" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- $places := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "serviceMonitor.additionalLabels" .Values.serviceMonitor.additionalLabels "podMonitor.additionalLabels" .Values.podMonitor.additionalLabels "prometheusRule.additionalLabels" .Values.prometheusRule.additionalLabels "dashboard.labels" .Values.dashboard.labels }}
{{- range $from, $labels := $places }}
{{- range $name, $_ := $labels }}
{{- if has $name $own }}
{{- fail (printf "%s must not set %s: the chart does, and finds its pods by such labels" $from $name) }}
{{- end }}
{{- if and (ne $from "commonLabels") (hasKey $.Values.commonLabels $name) }}
{{- fail (printf "%s and commonLabels both set %s" $from $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range list "checksum/config" "checksum/keys" }}
{{- if hasKey $.Values.podAnnotations . }}
{{- fail (printf "podAnnotations must not set %s: by it, the chart rolls the nodes when a setting changes" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the service says of addresses of Redis when it starts. */}}
{{- define "introspectd.checkRedis" -}}
{{- $url := include "introspectd.redisUrl" . }}
{{- $nodes := dig "redis" "nodes" (list) .Values.config }}
{{- range concat (list $url) $nodes }}
{{- $port := include "introspectd.redisPort" . | atoi }}
{{- if or (lt $port 1) (gt $port 65535) }}
{{- fail (printf "%s has no port from 1 to 65535" .) }}
{{- end }}
{{- end }}
{{- if and .Values.redis.caExistingSecret $url (not (hasPrefix "rediss://" $url)) }}
{{- fail "redis.caExistingSecret has no effect unless redis.url begins with rediss://" }}
{{- end }}
{{- $topology := dig "redis" "topology" "standalone" .Values.config }}
{{- if and $nodes (eq $topology "standalone") (not .Values.existingConfigMap) }}
{{- fail "config.redis.nodes has no effect unless config.redis.topology is sentinel or cluster" }}
{{- end }}
{{- if and (eq $topology "cluster") (regexMatch "^[a-z]+://[^/?]*/0*[1-9]" $url) }}
{{- fail "redis.url names a database, and a Redis Cluster has no other than 0" }}
{{- end }}
{{- end }}

{{/* What Kubernetes refuses, or takes and never does. */}}
{{- define "introspectd.checkKubernetes" -}}
{{- $name := include "introspectd.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "%s cannot be the name of a Service, which begins with a letter and has no more than small letters, digits and hyphens: set fullnameOverride" $name) }}
{{- end }}
{{- if eq .Values.service.type "ClusterIP" }}
{{- range list "nodePort" "externalTrafficPolicy" }}
{{- if get $.Values.service . }}
{{- fail (printf "service.%s needs the service.type NodePort or LoadBalancer" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne .Values.service.type "LoadBalancer" }}
{{- range list "loadBalancerClass" "loadBalancerSourceRanges" }}
{{- if get $.Values.service . }}
{{- fail (printf "service.%s needs the service.type LoadBalancer" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne .Values.strategy.type "Recreate" }}
{{- $rolling := default dict .Values.strategy.rollingUpdate }}
{{- /* Both are 25% where nothing is said. */}}
{{- $away := dig "maxUnavailable" "25%" $rolling | toString }}
{{- $more := dig "maxSurge" "25%" $rolling | toString }}
{{- if and (regexMatch "^0+%?$" $away) (regexMatch "^0+%?$" $more) }}
{{- fail "strategy.rollingUpdate: maxUnavailable and maxSurge must not both be 0, or no node could be replaced" }}
{{- end }}
{{- end }}
{{- if .Values.autoscaling.enabled }}
{{- if not (or .Values.autoscaling.targetCPU .Values.autoscaling.targetMemory .Values.autoscaling.metrics) }}
{{- fail "autoscaling.targetCPU, autoscaling.targetMemory or autoscaling.metrics must be set: without any, Kubernetes goes by 80% of the CPU" }}
{{- end }}
{{- range $resource, $target := dict "cpu" .Values.autoscaling.targetCPU "memory" .Values.autoscaling.targetMemory }}
{{- /* A limit without a request is one. */}}
{{- if and $target (not (or (dig "requests" $resource "" $.Values.resources) (dig "limits" $resource "" $.Values.resources))) }}
{{- fail (printf "autoscaling by %s needs resources.requests.%s, which it is a share of" $resource $resource) }}
{{- end }}
{{- end }}
{{- end }}
{{- $paths := list }}
{{- range $secret := .Values.extraSecrets }}
{{- range .keys }}
{{- $path := printf "%s/%s" $secret.name . }}
{{- if has $path $paths }}
{{- fail (printf "extraSecrets has %s twice" $path) }}
{{- end }}
{{- $paths = append $paths $path }}
{{- end }}
{{- end }}
{{- $names := list "config" "secrets" }}
{{- range .Values.extraVolumes }}
{{- if has .name $names }}
{{- fail (printf "extraVolumes: there is another volume of the name %s" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $names = list "introspectd" }}
{{- range concat .Values.extraContainers .Values.extraInitContainers }}
{{- if has .name $names }}
{{- fail (printf "extraContainers and extraInitContainers: there is another container of the name %s" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
