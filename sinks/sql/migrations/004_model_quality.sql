-- model_quality: each outcome's model at each sweep. The measures are those of predictions made before the answer was
-- learned, over the newest `window` examples; NaN where there is too little to tell. digest tells models apart.
CREATE TABLE IF NOT EXISTS model_quality
(
    as_of DateTime('UTC'),
    outcome LowCardinality(String),
    model_version String,
    examples UInt64,
    positives UInt64,
    examples_total UInt64,
    window UInt64,
    base_rate Float64,
    auc Float64,
    log_loss Float64,
    brier Float64,
    ece Float64,
    weights Map(String, Float64),
    digest String
)
ENGINE = ReplacingMergeTree
ORDER BY (outcome, as_of);
