# The lines of all strategies against the bars; a bar whose strategies were not measured is null.
def step($name): map(select(.strategy == $name) | .step_s_median) | first;
def ratio($slow; $fast): if $slow == null or $fast == null then null else $slow / $fast * 1000 | round / 1000 end;
def holds($value; $least): $value == null or $value >= $least;
step("adaptive") as $adaptive | step("all_reduce") as $all_reduce |
([$all_reduce, step("parameter_server"), step("central")] | map(select(. != null)) | min) as $best |
(map(.measured_over_predicted | select(. != null)) | max) as $worst |
(map(select(.strategy == "central") | .measured_over_central_transfers) | first) as $central |
{
    adaptive_over_all_reduce: ratio($all_reduce; $adaptive),
    adaptive_over_best_single: ratio($best; $adaptive),
    measured_over_predicted_worst: $worst,
    central_over_transfers: $central
} | . + {ok: (holds(.adaptive_over_all_reduce; 1.7) and holds(.adaptive_over_best_single; 1.0) and
    ($worst == null or $worst <= 1.25) and ($central == null or ($central >= 0.9 and $central <= 1.25)))}
