"""The words of the claims: one template for each kind, in English (``en``) and Korean (``ko``).

No number stands here: every ``{name}`` is a value of the ledger, a name or a smaller phrase.
A no-break space (written ``~``) stands between a number and its unit.
"""

from __future__ import annotations

_TEMPLATES: dict[str, dict[str, str]] = {
    # ------------------------------------------------------------------ pieces
    "nothing": {"en": "", "ko": ""},
    "as_trained": {"en": "As trained here, ", "ko": "여기서 학습한 상태로는 "},
    "among_finished": {"en": " whose runs all finished", "ko": "실행이 모두 끝난 "},
    "among_trained": {"en": "Of the networks that were trained, ", "ko": "학습한 신경망 가운데 "},
    "run_each": {
        "en": "; with {runs} run each, this describes the runs and tests nothing",
        "ko": ". 실행이 {runs}개씩이므로 이는 기술일 뿐 검정이 아니다",
    },
    "details": {
        "en": "{difference}~points, simultaneous {level}~% interval {low} to {high}, "
        "Holm-adjusted p~{p}",
        "ko": "{difference}~%p, {level}~% 동시 신뢰구간 {low}에서 {high}, Holm 보정 p~{p}",
    },
    "joint_details": {
        "en": "{low} to {high}~points, largest Holm-adjusted p~{p}",
        "ko": "{low}에서 {high}~%p, Holm 보정 p의 최댓값~{p}",
    },
    # ------------------------------------------------------------------ runs
    "absent": {
        "en": "{name} has no run in this study.{consequence}",
        "ko": "{topic} 이 연구에 실행이 없다.{consequence}",
    },
    "diverged_one": {
        "en": "The run of {name} diverged.{consequence}",
        "ko": "{name}의 실행은 발산하였다.{consequence}",
    },
    "diverged_all": {
        "en": "All {runs} runs of {name} diverged.{consequence}",
        "ko": "{name}의 실행 {runs}개가 모두 발산하였다.{consequence}",
    },
    "some_failed": {
        "en": "Of the {runs} runs of {name}, {what}.{consequence}",
        "ko": "{name}의 실행 {runs}개 가운데 {what}.{consequence}",
    },
    "some_diverged": {"en": "{count} diverged", "ko": "{count}개가 발산하였다"},
    "some_missing_one": {"en": "{count} is missing", "ko": "{count}개가 빠져 있다"},
    "some_missing": {"en": "{count} are missing", "ko": "{count}개가 빠져 있다"},
    "some_both": {
        "en": "{diverged} and {missing}",
        "ko": "{diverged_count}개가 발산하였고 {missing}",
    },
    "figures_of_rest": {
        "en": " Its figures are over the runs that finished.",
        "ko": " 수치는 끝난 실행에 대한 것이다.",
    },
    "figures_of_rest_uncompared": {
        "en": " Its figures are over the runs that finished, and its accuracy is not compared with "
        "that of the others.",
        "ko": " 수치는 끝난 실행에 대한 것이며, 정확도를 다른 신경망과 비교하지 않는다.",
    },
    "no_figures": {"en": " It has no test accuracy.", "ko": " 시험 정확도는 없다."},
    "no_figures_uncompared": {
        "en": " It has no test accuracy, so it is not compared with the others.",
        "ko": " 시험 정확도가 없으므로 다른 신경망과 비교하지 않는다.",
    },
    # ------------------------------------------------------------------ accuracy
    "untested": {"en": "Test accuracy is not known.", "ko": "시험 정확도는 알려져 있지 않다."},
    "lead_one": {"en": "Test accuracy", "ko": "시험 정확도는"},
    "lead_many": {
        "en": "Mean test accuracy over {seeds} seeds",
        "ko": "시드 {seeds}개의 평균 시험 정확도는",
    },
    "lead_uneven": {
        "en": "Mean test accuracy over the runs that finished",
        "ko": "끝난 실행의 평균 시험 정확도는",
    },
    "tail_one": {"en": " ({seeds} seed each)", "ko": "(시드 {seeds}개씩)"},
    "tail_single": {"en": " ({seeds} seed)", "ko": "(시드 {seeds}개)"},
    "accuracy_list": {"en": "{lead} is {entries}{tail}.", "ko": "{lead} {entries}이다{tail}."},
    "accuracy_of": {"en": "{value}~% for {name}", "ko": "{name} {value}~%"},
    "accuracy_range": {
        "en": "{lead} lies between {low}~% and {high}~%{tail}.",
        "ko": "{lead} {low}~%에서 {high}~% 사이이다{tail}.",
    },
    "accuracy_one": {
        "en": "{name} reaches a test accuracy of {value}~% ({level}~% interval {low} to {high} "
        "over images, {seeds} seed).",
        "ko": "{name}의 시험 정확도는 {value}~%이다(이미지에 대한 {level}~% 신뢰구간 {low}에서 "
        "{high}, 시드 {seeds}개).",
    },
    "accuracy_many": {
        "en": "{name} reaches a mean test accuracy of {value}~% over {seeds} seeds ({level}~% "
        "interval {low} to {high} over seeds and images; standard deviation over seeds "
        "{spread}~points).",
        "ko": "{name}의 평균 시험 정확도는 시드 {seeds}개에서 {value}~%이다(시드와 이미지에 대한 "
        "{level}~% 신뢰구간 {low}에서 {high}, 시드에 대한 표준편차 {spread}~%p).",
    },
    "selection": {
        "en": "On the validation images, which chose the epoch, it reaches {validation}~%; "
        "validation less test accuracy is {difference}~points ({level}~% interval {low} to "
        "{high}).",
        "ko": "에폭을 고른 검증 이미지에서는 {validation}~%이며, 검증과 시험 정확도의 차이는 "
        "{difference}~%p이다({level}~% 신뢰구간 {low}에서 {high}).",
    },
    "selection_one": {
        "en": "On the validation images it reaches {validation}~%; validation less test accuracy "
        "is {difference}~points ({level}~% interval {low} to {high}).",
        "ko": "검증 이미지에서는 {validation}~%이며, 검증과 시험 정확도의 차이는 "
        "{difference}~%p이다({level}~% 신뢰구간 {low}에서 {high}).",
    },
    "flipped": {
        "en": "With flip averaging the test accuracy is {value}~%.",
        "ko": "좌우 반전 평균을 쓰면 시험 정확도는 {value}~%이다.",
    },
    # ------------------------------------------------------------------ pairs
    "one_network": {
        "en": "The study has a single network, so no accuracies are compared.",
        "ko": "단일 신경망을 다루므로 정확도를 비교하지 않는다.",
    },
    "none_complete": {
        "en": "Not enough networks have all their runs, so no accuracies are compared.",
        "ko": "실행이 모두 끝난 신경망이 모자라므로 정확도를 비교하지 않는다.",
    },
    "untested_pairs": {
        "en": "Test accuracy is not known, so no accuracies are compared.",
        "ko": "시험 정확도가 알려져 있지 않으므로 정확도를 비교하지 않는다.",
    },
    "separated": {
        "en": "{scope}{first} is more accurate than {second} (by {details}).",
        "ko": "{scope}{first_subject} {second}보다 정확하다(차이 {details}).",
    },
    "open": {
        "en": "The data do not separate {first} from {second} (difference {details}).",
        "ko": "자료로는 {first_and} {second_object} 구별할 수 없다(차이 {details}).",
    },
    "equal_images": {
        "en": "{first} and {second} are right on equally many test images; the data do not "
        "separate them (difference {details}).",
        "ko": "{first_and} {second_topic} 맞힌 시험 이미지의 수가 같아 구별할 수 없다"
        "(차이 {details}).",
    },
    "equal": {
        "en": "{first} and {second} have the same mean accuracy; the data do not separate them "
        "(difference {details}).",
        "ko": "{first_and} {second_topic} 평균 정확도가 같아 구별할 수 없다(차이 {details}).",
    },
    "all_separated": {
        "en": "All {pairs} pairs of networks are separated by the adjusted test.",
        "ko": "보정한 검정으로 신경망 {pairs}쌍이 모두 구별된다.",
    },
    "none_separated": {
        "en": "None of the {pairs} pairs of networks is separated by the adjusted test.",
        "ko": "보정한 검정으로 신경망 {pairs}쌍 가운데 구별되는 것은 없다.",
    },
    "one_of_separated": {
        "en": "Of the {pairs} pairs of networks, {count} is separated by the adjusted test.",
        "ko": "보정한 검정으로 신경망 {pairs}쌍 가운데 {count}쌍이 구별된다.",
    },
    "some_separated": {
        "en": "Of the {pairs} pairs of networks, {count} are separated by the adjusted test.",
        "ko": "보정한 검정으로 신경망 {pairs}쌍 가운데 {count}쌍이 구별된다.",
    },
    "group_separated": {
        "en": "{scope}{first} is more accurate than {others} (by {details}).",
        "ko": "{scope}{first_topic} {others}보다 정확하다(차이 {details}).",
    },
    "group_open": {
        "en": "The data do not separate {first} from {others}.",
        "ko": "자료로는 {first_object} {others_and} 구별할 수 없다.",
    },
    "it_more": {
        "en": "It is more accurate than {others} (by {details}).",
        "ko": "{others}보다 정확하다(차이 {details}).",
    },
    "it_more_as_trained": {
        "en": "As trained here, it is more accurate than {others} (by {details}).",
        "ko": "여기서 학습한 상태로는 {others}보다 정확하다(차이 {details}).",
    },
    "it_less": {
        "en": "It is less accurate than {others} (by {details}).",
        "ko": "{others}보다 부정확하다(차이 {details}).",
    },
    "it_less_as_trained": {
        "en": "As trained here, it is less accurate than {others} (by {details}).",
        "ko": "여기서 학습한 상태로는 {others}보다 부정확하다(차이 {details}).",
    },
    "it_open": {
        "en": "The data do not separate it from {others}.",
        "ko": "자료로는 {others_and} 구별할 수 없다.",
    },
    "best": {
        "en": "{scope}{name} is the most accurate of the {count} networks{among}: it is separated "
        "from every other.",
        "ko": "{scope}{among}신경망 {count}개 가운데 가장 정확한 것은 {by}, 다른 모든 신경망과 "
        "구별된다.",
    },
    "best_of_two": {
        "en": "{scope}{name} is the more accurate of the {count} networks{among}.",
        "ko": "{scope}{among}신경망 {count}개 가운데 더 정확한 것은 {name}이다.",
    },
    "no_best": {
        "en": "The data do not single out a most accurate network: {first} is not separated from "
        "{others}.",
        "ko": "자료로는 가장 정확한 신경망을 가려낼 수 없다. {first_topic} {others_and} 구별되지 "
        "않는다.",
    },
    "rounding": {
        "en": "Differences are taken before rounding, so their last digit may not be that of the "
        "difference of the printed accuracies.",
        "ko": "차이는 반올림하기 전에 구하였으므로, 인쇄된 정확도의 차이와 마지막 자리가 다를 수 "
        "있다.",
    },
    "check": {
        "en": "As a check, the p of the multi-bootstrap over {draws} resamples of seeds and images "
        "{cite} and that of the test, before adjustment, lie on the same side of {alpha} for "
        "{agreeing}.",
        "ko": "확인을 위해 시드와 이미지를 {draws}번 다시 뽑은 다중 부트스트랩 {cite}과 검정의 "
        "보정하지 않은 p는 {agreeing}에서 {alpha}의 같은 쪽에 있다.",
    },
    "check_some": {
        "en": "{count} of the {pairs} pairs",
        "ko": "{pairs}쌍 가운데 {count}쌍",
    },
    "check_all": {"en": "all {pairs} pairs", "ko": "{pairs}쌍 모두"},
    # ------------------------------------------------------------------ sizes and seconds
    "parameters_one": {
        "en": "{among}{names} has the fewest parameters ({value}~million).",
        "ko": "{among}매개변수는 {names_subject} 가장 적다({value}백만 개).",
    },
    "parameters_several": {
        "en": "{among}{names} have the fewest parameters ({value}~million each).",
        "ko": "{among}매개변수는 {names_subject} 가장 적다(각각 {value}백만 개).",
    },
    "parameters_all": {
        "en": "{among}{names} have equally many parameters ({value}~million each).",
        "ko": "{among}{names_topic} 매개변수의 수가 같다(각각 {value}백만 개).",
    },
    "macs_one": {
        "en": "{among}{names} needs the fewest multiply–accumulate operations per image "
        "({value}~million).",
        "ko": "{among}이미지당 곱셈·누산은 {names_subject} 가장 적다({value}백만 회).",
    },
    "macs_several": {
        "en": "{among}{names} need the fewest multiply–accumulate operations per image "
        "({value}~million each).",
        "ko": "{among}이미지당 곱셈·누산은 {names_subject} 가장 적다(각각 {value}백만 회).",
    },
    "macs_all": {
        "en": "{among}{names} need equally many multiply–accumulate operations per image "
        "({value}~million each).",
        "ko": "{among}{names_topic} 이미지당 곱셈·누산의 수가 같다(각각 {value}백만 회).",
    },
    "seconds": {
        "en": "In these runs {fast} took the fewest seconds per epoch at full resolution "
        "({fewest}~s) and {slow} the most ({most}~s){each}.",
        "ko": "이 실행들에서 온전한 해상도의 에폭당 시간은 {fast_subject} 가장 짧았고({fewest}초) "
        "{slow_subject} 가장 길었다({most}초){each}.",
    },
    "seconds_all": {
        "en": "In these runs {fast} took equally many seconds per epoch at full resolution "
        "({fewest}~s){each}.",
        "ko": "이 실행들에서 온전한 해상도의 에폭당 시간은 {fast_subject} 같았다({fewest}초)"
        "{each}.",
    },
    "seconds_differ": {
        "en": "Seconds are not ranked, since the runs were made on different hardware.",
        "ko": "실행에 쓴 하드웨어가 서로 다르므로 시간의 순위를 매기지 않는다.",
    },
    "seconds_unknown": {
        "en": "Seconds are not ranked, since the hardware is not known.",
        "ko": "하드웨어가 알려져 있지 않으므로 시간의 순위를 매기지 않는다.",
    },
    "seconds_shared": {
        "en": "Seconds are not ranked, since other processes used the machine during the runs "
        "of {names}.",
        "ko": "다른 프로세스가 {names}의 실행 중에 장비를 함께 썼으므로 시간의 순위를 "
        "매기지 않는다.",
    },
    "cost": {
        "en": "It has {parameters}~million parameters and needs {macs}~million "
        "multiply–accumulate operations per image.",
        "ko": "매개변수는 {parameters}백만 개이고, 이미지당 곱셈·누산은 {macs}백만 회이다.",
    },
    "took": {
        "en": "An epoch at full resolution took {seconds}~s.",
        "ko": "온전한 해상도의 에폭은 {seconds}초 걸렸다.",
    },
}

TEMPLATES = {
    kind: {language: text.replace("~", "\N{NO-BREAK SPACE}") for language, text in texts.items()}
    for kind, texts in _TEMPLATES.items()
}
