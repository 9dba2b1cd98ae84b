# One strategy's line of tests/integration/links, from its steps and what went over the links.
def median: sort | if length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def round3: if . == null then null else . * 1000 | round / 1000 end;

# A full segment of 1514 bytes carries 1448 of a connection's.
def bytes_per_s: . * 1e6 / 8 * 1448 / 1514;
{fp32: 4, bf16: 2, mx8: (33 / 32), mx4: (17 / 32)}[$codec] as $bytes_per_value |
($parameters * $bytes_per_value) as $model |
($links | split(" ") | map(select(. != "" and (endswith("a") | not)) | tonumber | bytes_per_s)) as $rates |
($coordinator | bytes_per_s) as $hub |
# Through the coordinator alone: all contributions, then all updates, each way at the slowest link's rate
# or at the coordinator's shared by all. No computing in it, and no overlap.
([$rates[] | $model / .] + [($rates | length) * $model / $hub] | max | 2 * .) as $central |
($steps[0] | map(.s) | median) as $median |
($predicted[0] | if length > 0 then median else null end) as $predicted |
{
    strategy: $strategy, links_mbit: $links,
    coordinator_mbit: $coordinator, shaped: ($shaped == "yes"),
    parameters: $parameters, codec: $codec, max_staleness: $staleness, contribution_mb: ($model / 1e6 | round3),
    steps: ($steps[0] | length), contributions: ($steps[0] | map(.contributions) | add / length | round3),
    step_s_median: ($median | round3),
    step_s_least: ($steps[0] | map(.s) | min | round3), step_s_most: ($steps[0] | map(.s) | max | round3),
    predicted_s: $predicted,
    measured_over_predicted: (if $predicted == null then null else $median / $predicted | round3 end),
    central_transfers_s: (if $shaped == "yes" and $staleness == 0 then $central | round3 else null end),
    measured_over_central_transfers: (if $shaped == "yes" and $staleness == 0 then $median / $central | round3 else null end),
    mb_per_step: ($bytes[0] | map(map_values(round3)) | {coordinator: .[0], peers: .[1:]})
}
